//! `EMAIL_CHANGE=confirm`, and staff in any case: a new email needs the password and a code (M4).

use chrono::TimeDelta;
use latchkey_shared::models::user;
use latchkey_testing::Mail;
use reqwest::Method;
use sea_orm::{EntityTrait as _, sea_query::Expr};
use serde_json::{Value, json};

use super::email_change::{claims, confirm, token_of};
use crate::support::{
    dashboard::{Dashboard, Page, field_value},
    test_app::{ApiResponse, PASSWORD, TestApp, Tokens, assert_same_problems, code_in, wrong_code},
};

const OWNER: &str = "ada@example.com";
const NEXT: &str = "countess@example.com";
const NEW: &str = "another quiet morning";

async fn start() -> (TestApp, Tokens) {
    let app = TestApp::with(&[("EMAIL_CHANGE", "confirm")]).await;
    let tokens = app.logged_in_user(OWNER).await;
    (app, tokens)
}

async fn request(app: &TestApp, tokens: &Tokens, email: &str) -> ApiResponse {
    let body = json!({"email": email, "password": PASSWORD});
    app.patch_user(&tokens.access, body).await
}

/// The code in the last mail to an email.
async fn code_to(app: &TestApp, email: &str) -> String {
    code_in(app.mails_to(email).await.last().expect("a mail"))
}

/// M4: The change waits for its code; all other fields change at once.
#[tokio::test]
async fn email_change_waits_for_its_code() {
    let (app, tokens) = start().await;
    let body = json!({"email": NEXT, "password": PASSWORD, "username": "Countess"});
    let answer = app.patch_user(&tokens.access, body).await;
    let token = token_of(&answer);
    assert_eq!(answer.text("/email"), OWNER);
    assert_eq!(answer.text("/pending_email"), NEXT);
    let profile = app.get_user(&tokens.access).await;
    assert_eq!(profile.text("/email"), OWNER);
    assert_eq!(profile.text("/username"), "Countess");
    assert!(!profile.keys().contains(&"pending_email"));

    let code = code_to(&app, NEXT).await;
    confirm(&app, &token, &wrong_code(&code))
        .await
        .assert_problem(400, "invalid-otp");
    assert_eq!(confirm(&app, &token, &code).await.status, 200);
    assert_eq!(app.get_user(&tokens.access).await.text("/email"), NEXT);
    app.login(NEXT, PASSWORD).await;
    app.try_login(OWNER, PASSWORD)
        .await
        .assert_problem(401, "invalid-credentials");
    let last = app.mails_to(OWNER).await.pop().unwrap();
    assert!(last.subject.contains("was changed"), "{last:?}");
}

/// M4: Without the password, or with a wrong one, nothing is requested. Guesses are limited like those of a password change.
#[tokio::test]
async fn email_change_requires_the_password() {
    let (app, tokens) = start().await;
    app.deliver_all().await;
    let mails = app.sink.mails().len();
    for (body, field) in [
        (json!({"email": NEXT}), "required"),
        (json!({"email": NEXT, "password": null}), "required"),
        (json!({"email": NEXT, "password": ""}), "required"),
    ] {
        let answer = app.patch_user(&tokens.access, body).await;
        answer.assert_invalid_field("password", field);
    }
    let wrong = json!({"email": NEXT, "password": "a wrong password"});
    app.patch_user(&tokens.access, wrong)
        .await
        .assert_problem(400, "wrong-password");
    app.deliver_all().await;
    assert_eq!(app.sink.mails().len(), mails);
    let name = json!({"username": "Countess"});
    assert_eq!(app.patch_user(&tokens.access, name).await.status, 200);
}

/// M4: A pending email reserves nothing. A right code for an email that has an account by then gets the answer of a wrong one.
#[tokio::test]
async fn pending_email_reserves_nothing() {
    let (app, tokens) = start().await;
    let token = token_of(&request(&app, &tokens, NEXT).await);
    let code = code_to(&app, NEXT).await;
    assert_eq!(app.register(NEXT).await.status, 201);
    let late = confirm(&app, &token, &code).await;
    let wrong = confirm(&app, &token, &wrong_code(&code)).await;
    assert_same_problems(vec![late, wrong]);
    assert_eq!(app.get_user(&tokens.access).await.text("/email"), OWNER);
}

/// N4: An email that has an account gets the answer of a free one, after the same statements, and no mail.
#[tokio::test]
async fn taken_email_gets_the_same_answer() {
    let (app, tokens) = start().await;
    app.register("taken@example.com").await;
    let mails = app.mails_to("taken@example.com").await.len();
    let shape = |answer: &ApiResponse| {
        let keys: Vec<_> = answer.keys().into_iter().map(str::to_owned).collect();
        (answer.status, keys)
    };
    app.statements.take();
    let taken = request(&app, &tokens, "taken@example.com").await;
    let of_taken = app.statements.take();
    assert_eq!(app.mails_to("taken@example.com").await.len(), mails);
    app.statements.take();
    let free = request(&app, &tokens, NEXT).await;
    assert_eq!(app.statements.take(), of_taken);
    assert_eq!(shape(&taken), shape(&free));
    confirm(&app, &token_of(&taken), "123456")
        .await
        .assert_problem(400, "invalid-otp");
}

/// M4: Only the last request counts, and the change of the password, a reset and the end of the code end it.
#[tokio::test]
async fn pending_email_ends_with_its_code() {
    let (app, tokens) = start().await;
    let first = token_of(&request(&app, &tokens, NEXT).await);
    let first_code = code_to(&app, NEXT).await;
    let second = token_of(&request(&app, &tokens, "other@example.com").await);
    confirm(&app, &first, &first_code)
        .await
        .assert_problem(400, "invalid-otp");

    let code = code_to(&app, "other@example.com").await;
    app.advance_clock(TimeDelta::minutes(6));
    confirm(&app, &second, &code)
        .await
        .assert_problem(400, "invalid-otp");

    let tokens = app.login(OWNER, PASSWORD).await;
    let third = token_of(&request(&app, &tokens, NEXT).await);
    let code = code_to(&app, NEXT).await;
    app.complete_reset(OWNER, NEW).await;
    confirm(&app, &third, &code)
        .await
        .assert_problem(400, "invalid-otp");
    assert_eq!(app.user(OWNER).await.email.as_str(), OWNER);
}

/// M4: The link in the notice to the current email cancels the change, but only after its form was sent.
#[tokio::test]
async fn link_in_notice_cancels_email_change() {
    let (app, tokens) = start().await;
    let token = token_of(&request(&app, &tokens, NEXT).await);
    let code = code_to(&app, NEXT).await;
    let notice = app.mails_to(OWNER).await.pop().unwrap();
    let link = notice
        .text
        .lines()
        .find(|line| line.contains("/admin/cancel-email/"))
        .unwrap();
    let secret = link.split_once("token=").unwrap().1;
    let mut browser = Dashboard::open(&app).await;
    let page = browser
        .get(&format!("/admin/cancel-email/?token={secret}"))
        .await;
    assert_eq!(page.status, 200);
    browser.csrf = field_value(&page.html, "csrf");
    for expected in ["The change was cancelled", "no change to cancel"] {
        let page = browser
            .post("/admin/cancel-email/", &[("token", secret)])
            .await;
        assert!(page.html.contains(expected), "{}", page.html);
    }
    let mails = app.mails_to(OWNER).await;
    let is_told = |mail: &&Mail| mail.text.contains("Your account keeps this address");
    assert_eq!(mails.iter().filter(is_told).count(), 1, "{mails:?}");
    confirm(&app, &token, &code)
        .await
        .assert_problem(400, "invalid-otp");
    let (rest, last) = secret.split_at(secret.len() - 1);
    let other = if last == "0" { "1" } else { "0" };
    let forged = format!("/admin/cancel-email/?token={rest}{other}");
    for path in [forged.as_str(), "/admin/cancel-email/?token=x"] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
}

/// The token in the newest notice about a requested change.
async fn cancel_token(app: &TestApp) -> String {
    let mails = app.mails_to(OWNER).await;
    let links = mails.iter().rev();
    let mut tokens = links.filter_map(|mail| Some(mail.text.split_once("?token=")?.1));
    let token = tokens.next().expect("a notice");
    token.split_whitespace().next().unwrap().to_owned()
}

/// M4: The page behind the link says what has become of the change, and what to do next. Its button leads to `RESET_URL`.
#[tokio::test]
async fn cancel_page_explains_each_state() {
    let app = TestApp::with(&[
        ("EMAIL_CHANGE", "confirm"),
        ("APP_URL", "https://app.example.com"),
        ("RESET_URL", "{app}/new-password"),
        ("SUPPORT_ADDRESS", "help@example.com"),
    ])
    .await;
    let tokens = app.logged_in_user(OWNER).await;
    let browser = Dashboard::open(&app).await;
    let page = async |token: &str| {
        let path = format!("/admin/cancel-email/?token={token}");
        browser.get(&path).await
    };
    let (form, reset) = (
        "name=\"token\"",
        "href=\"https://app.example.com/new-password\"",
    );
    let assert_page = |page: &Page, texts: &[&str], absent: &[&str]| {
        for text in texts {
            assert!(page.html.contains(text), "{text}: {}", page.html);
        }
        for text in absent {
            assert!(!page.html.contains(text), "{text}: {}", page.html);
        }
    };

    request(&app, &tokens, NEXT).await;
    let expired = cancel_token(&app).await;
    let open = page(&expired).await;
    assert_page(&open, &["If it was not you, cancel", form], &[reset]);
    app.advance_clock(TimeDelta::minutes(11));
    let ended = page(&expired).await;
    assert_page(&ended, &["its code has expired", reset], &[form]);

    let tokens = app.login(OWNER, PASSWORD).await;
    let token = token_of(&request(&app, &tokens, NEXT).await);
    let completed = cancel_token(&app).await;
    let code = code_to(&app, NEXT).await;
    assert_eq!(confirm(&app, &token, &code).await.status, 200);
    let page_of_completed = page(&completed).await;
    let texts = ["has the new email address", "mailto:help@example.com"];
    assert_page(&page_of_completed, &texts, &[form, reset]);

    app.advance_clock(TimeDelta::days(2));
    app.run_housekeeping().await;
    let gone = page(&completed).await;
    let texts = ["This link has expired", reset, "mailto:help@example.com"];
    assert_page(&gone, &texts, &[form]);
    for invalid in ["", "x"] {
        let invalid = page(invalid).await;
        assert_eq!(invalid.status, 404);
        assert_page(&invalid, &["Open the whole link"], &[form, reset]);
    }
}

/// M4: A pending email gives no use of another person's address: not by a login, a password reset or a claim.
#[tokio::test]
async fn pending_email_gives_no_use_of_it() {
    let (app, tokens) = start().await;
    app.logged_in_user(NEXT).await;
    request(&app, &tokens, NEXT).await;
    app.deliver_all().await;
    app.complete_reset(NEXT, NEW).await;

    let renewed = app.refresh(&tokens.refresh).await.text("/access");
    let claims = claims(&renewed);
    assert_eq!(claims["email_verified"], false);
    assert!(!claims.to_string().contains(NEXT), "{claims}");
    let other = app.try_login(NEXT, PASSWORD).await;
    other.assert_problem(401, "invalid-credentials");
    app.login(OWNER, PASSWORD).await;
    app.login(NEXT, NEW).await;
}

/// M4: A superuser without access to the dashboard, as an import can create one, needs the password and a code, too.
#[tokio::test]
async fn superuser_who_is_not_staff_confirms_new_email() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user(OWNER).await;
    user::Entity::update_many()
        .col_expr(user::Column::IsSuperuser, Expr::value(true))
        .exec(&*app.database.db)
        .await
        .unwrap();
    let answer = app.patch_user(&tokens.access, json!({"email": NEXT})).await;
    answer.assert_invalid_field("password", "required");
}

/// M4: A further code has a notice of its own, and the link of each notice cancels the change.
#[tokio::test]
async fn link_of_earlier_notice_cancels_further_codes() {
    let (app, tokens) = start().await;
    request(&app, &tokens, NEXT).await;
    let notice = app.mails_to(OWNER).await.pop().unwrap();
    app.advance_clock(TimeDelta::seconds(61));
    let resend = app
        .request(Method::POST, "/auth/confirm_email/resend/")
        .bearer_auth(&tokens.access);
    let token = app.send(resend).await.text("/token");
    let code = code_to(&app, NEXT).await;
    assert!(app.mails_to(OWNER).await.pop().unwrap().text != notice.text);
    let link = notice.text.split_once("token=").unwrap().1;
    let secret = link.split_whitespace().next().unwrap();
    let mut browser = Dashboard::open(&app).await;
    let page = browser
        .get(&format!("/admin/cancel-email/?token={secret}"))
        .await;
    browser.csrf = field_value(&page.html, "csrf");
    let page = browser
        .post("/admin/cancel-email/", &[("token", secret)])
        .await;
    assert!(page.html.contains("The change was cancelled"));
    confirm(&app, &token, &code)
        .await
        .assert_problem(400, "invalid-otp");
}

/// M4: Once the email has changed, the links of earlier notices no longer cancel changes: their mailbox may not be the owner's any more.
#[tokio::test]
async fn link_of_completed_change_cancels_no_later_one() {
    let (app, tokens) = start().await;
    let first = token_of(&request(&app, &tokens, NEXT).await);
    let notice = app.mails_to(OWNER).await.pop().unwrap();
    let code = code_to(&app, NEXT).await;
    app.advance_clock(TimeDelta::seconds(61));
    assert_eq!(confirm(&app, &first, &code).await.status, 200);
    app.advance_clock(TimeDelta::seconds(61));
    let token = token_of(&request(&app, &tokens, "third@example.com").await);
    let code = code_to(&app, "third@example.com").await;

    let link = notice.text.split_once("token=").unwrap().1;
    let secret = link.split_whitespace().next().unwrap();
    let mut browser = Dashboard::open(&app).await;
    let page = browser
        .get(&format!("/admin/cancel-email/?token={secret}"))
        .await;
    browser.csrf = field_value(&page.html, "csrf");
    let page = browser
        .post("/admin/cancel-email/", &[("token", secret)])
        .await;

    assert!(page.html.contains("can no longer be cancelled"), "{page:?}");
    assert_eq!(confirm(&app, &token, &code).await.status, 200);
}

/// M4: With a stolen token of a superuser, but not the password, no call changes the superuser's email or trusts another one.
#[tokio::test]
async fn stolen_superuser_token_gives_no_takeover() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let root = app.user("root@example.com").await;
    let access = app.login("root@example.com", PASSWORD).await.access;
    let user = app.register(OWNER).await;
    assert_eq!(user.status, 201);
    let ada = app.user(OWNER).await.id;
    app.deliver_all().await;
    let mails = app.sink.mails().len();
    let send = async |method, path: String, body: Value| {
        let request = app.request(method, &path).bearer_auth(&access).json(&body);
        app.send(request).await
    };

    let own = json!({"email": "thief@example.com"});
    let answer = app.patch_user(&access, own.clone()).await;
    answer.assert_invalid_field("password", "required");
    let path = format!("/api/admin/users/{}/", root.id);
    let answer = send(Method::PATCH, path, own.clone()).await;
    answer.assert_invalid_field("email", "own_email");
    let trust = format!("/api/admin/users/{ada}/trust_email/");
    let answer = send(Method::POST, trust, json!({"password": "a guess"})).await;
    answer.assert_problem(400, "wrong-password");

    assert_eq!(app.user("root@example.com").await.email, root.email);
    app.deliver_all().await;
    assert_eq!(app.sink.mails().len(), mails);
}

/// M4: An email that staff chose gets no code for a day, while the previous one does. A superuser can trust it earlier.
#[tokio::test]
async fn email_chosen_by_staff_gets_no_code_for_a_day() {
    for trusted in [false, true] {
        let app = TestApp::new().await;
        app.create_superuser("root@example.com").await;
        app.create_staff("staff@example.com", "view_users,change_users")
            .await;
        app.logged_in_user(OWNER).await;
        let id = app.user(OWNER).await.id;
        let staff = app.login("staff@example.com", PASSWORD).await.access;
        let change = app
            .request(Method::PATCH, &format!("/api/admin/users/{id}/"))
            .bearer_auth(&staff)
            .json(&json!({"email": NEXT}));
        let answer = app.send(change).await;
        assert_eq!(answer.text("/reset_email"), OWNER);

        for named in [OWNER, NEXT] {
            app.request_reset_token(named).await;
        }
        assert_eq!(app.mails_to(NEXT).await.len(), 0);
        let mails = app.mails_to(OWNER).await;
        let is_told = |mail: &&Mail| mail.text.contains("All devices were logged out");
        assert_eq!(mails.iter().filter(is_told).count(), 1, "{mails:?}");
        let trust = async |access: &str| {
            let path = format!("/api/admin/users/{id}/trust_email/");
            let request = app.request(Method::POST, &path).bearer_auth(access);
            app.send(request.json(&json!({"password": PASSWORD}))).await
        };
        trust(&staff).await.assert_problem(403, "not-permitted");
        if trusted {
            let root = app.login("root@example.com", PASSWORD).await.access;
            assert_eq!(trust(&root).await.status, 204);
            let again = trust(&root).await;
            again.assert_problem(409, "invalid-state");
            assert!(again.text("/detail").contains("nothing left to do"));
        } else {
            app.advance_clock(TimeDelta::hours(25));
        }
        app.complete_reset(NEXT, NEW).await;
        assert_eq!(app.user(NEXT).await.confirmed_email, None);
        app.login(NEXT, NEW).await;
        assert_eq!(app.register(OWNER).await.status, 201);
    }
}

/// The new email of an account that was never verified gets codes at once, and the notice to the previous one says so.
#[tokio::test]
async fn notice_about_email_of_pending_account_promises_no_codes() {
    let app = TestApp::with(&[("ACTIVATION", "email")]).await;
    app.create_superuser("root@example.com").await;
    let root = app.login("root@example.com", PASSWORD).await.access;
    app.register(OWNER).await;
    let id = app.user(OWNER).await.id;
    let change = app
        .request(Method::PATCH, &format!("/api/admin/users/{id}/"))
        .bearer_auth(&root)
        .json(&json!({"email": NEXT}));
    assert_eq!(app.send(change).await.status, 200);
    let notice = app.mails_to(OWNER).await.pop().unwrap();
    assert!(notice.text.contains("last mail to this address"));
    app.complete_reset(NEXT, NEW).await;
}

/// M4: An administrator changes the own email in the dashboard, with the password and a code.
#[tokio::test]
async fn own_email_changes_in_dashboard() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    let path = "/admin/account/email/";
    let page = root
        .post(path, &[("email", NEXT), ("password", "a guess")])
        .await;
    assert_eq!(page.status, 400, "{page:?}");
    let page = root
        .post(path, &[("email", NEXT), ("password", PASSWORD)])
        .await;
    assert_eq!(page.status, 303, "{page:?}");
    assert!(root.get_html(path).await.contains(NEXT));
    let code = code_to(&app, NEXT).await;
    let path = "/admin/account/email/confirm/";
    let page = root.post(path, &[("otp", &wrong_code(&code))]).await;
    assert_eq!(page.status, 400, "{page:?}");
    let flash = root.submit(path, &[("otp", &code)]).await;
    assert_eq!(flash, "Your email address has been changed.");
    assert!(app.user(NEXT).await.has_confirmed_email());
}
