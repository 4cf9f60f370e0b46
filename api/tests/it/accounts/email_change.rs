//! `EMAIL_CHANGE=immediate`: an unconfirmed email gives no access to an account (M4).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use latchkey_testing::Mail;
use serde_json::{Value, json};

use crate::support::test_app::{
    ApiResponse, PASSWORD, TestApp, Tokens, code_in, registration, wrong_code,
};

const OWNER: &str = "ada@example.com";
const OTHER: &str = "thief@example.com";
const NEW: &str = "another quiet morning";

/// The header of a changed email.
const TOKEN: &str = "email-confirmation-token";

pub(super) fn claims(access: &str) -> Value {
    let payload = access.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

pub(crate) fn token_of(answer: &ApiResponse) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.headers[TOKEN].to_str().unwrap().to_owned()
}

pub(crate) async fn confirm(app: &TestApp, token: &str, otp: &str) -> ApiResponse {
    let body = json!({"token": token, "otp": otp});
    app.post("/auth/confirm_email/", body).await
}

/// The mails with a code to set a new password.
fn reset_codes(mails: &[Mail]) -> Vec<&Mail> {
    let is_reset = |mail: &&Mail| mail.text.contains("code to set a new password");
    mails.iter().filter(is_reset).collect()
}

/// Registers the owner, and changes the email to another one. Returns the tokens and the token of the change.
async fn change_email(app: &TestApp) -> (Tokens, String) {
    let tokens = app.logged_in_user(OWNER).await;
    let answer = app
        .patch_user(&tokens.access, json!({"email": OTHER}))
        .await;
    assert_eq!(answer.text("/email"), OTHER);
    let token = token_of(&answer);
    (tokens, token)
}

/// M4: Until the new email is confirmed, codes of password resets go to the previous one, whichever of the two the client names.
#[tokio::test]
async fn unconfirmed_email_gets_no_reset_code() {
    let app = TestApp::new().await;
    change_email(&app).await;
    for named in [OWNER, OTHER] {
        app.request_reset_token(named).await;
    }
    assert_eq!(reset_codes(&app.mails_to(OWNER).await).len(), 2);
    assert!(reset_codes(&app.mails_to(OTHER).await).is_empty());
    let notices = app.mails_to(OWNER).await;
    let notice = notices
        .iter()
        .find(|mail| mail.subject.contains("was changed"))
        .unwrap();
    assert!(notice.text.contains("still come to this address"));
}

/// M4: The code that was mailed to the new email confirms it. A day later codes for password resets go there. Until then the previous email
/// gets them, as an attacker with a stolen token can read the code in another mailbox.
#[tokio::test]
async fn confirmed_email_gets_reset_codes_after_a_day() {
    let app = TestApp::new().await;
    let (_, token) = change_email(&app).await;
    let code = code_in(app.mails_to(OTHER).await.last().unwrap());
    confirm(&app, &token, &wrong_code(&code))
        .await
        .assert_problem(400, "invalid-otp");
    let answer = confirm(&app, &token, &code).await;
    assert_eq!(
        answer.body,
        json!({"message": "The email has been confirmed."})
    );
    confirm(&app, &token, &code)
        .await
        .assert_problem(400, "invalid-otp");
    for expected in [[2, 0], [2, 1]] {
        for named in [OWNER, OTHER] {
            app.request_reset_token(named).await;
        }
        let codes = [OWNER, OTHER].map(|email| app.mails_to(email));
        let [owner, other] = codes;
        let sent = [owner.await, other.await].map(|mails| reset_codes(&mails).len());
        assert_eq!(sent, expected);
        app.advance_clock(TimeDelta::hours(24));
    }
}

/// M4: An owner whose email an attacker with a stolen token has changed gets the account back by a password reset.
#[tokio::test]
async fn reset_by_previous_email_restores_it() {
    let app = TestApp::new().await;
    let (stolen, token) = change_email(&app).await;
    app.deliver_all().await;
    app.complete_reset(OWNER, NEW).await;

    app.assert_revoked(&stolen).await;
    let mails = app.mails_to(OWNER).await;
    for told in [
        "password of your Latchkey account was changed",
        "has this address again\nsince",
    ] {
        let is_told = mails.iter().any(|mail| mail.text.contains(told));
        assert!(is_told, "{told}: {mails:?}");
    }
    let user = app.user(OWNER).await;
    assert_eq!(user.confirmed_email, None);
    assert_eq!(user.email_verified_at, Some(app.clock.now()));
    app.login(OWNER, NEW).await;
    app.try_login(OTHER, NEW)
        .await
        .assert_problem(401, "invalid-credentials");
    let code = code_in(&app.mails_to(OTHER).await[0]);
    confirm(&app, &token, &code)
        .await
        .assert_problem(400, "invalid-otp");
}

/// M4: A reset that names the unconfirmed email, with the code from the previous one, keeps both as they are.
#[tokio::test]
async fn reset_by_unconfirmed_email_leaves_it_unconfirmed() {
    let app = TestApp::new().await;
    change_email(&app).await;
    let token = app.request_reset_token(OTHER).await;
    let code = code_in(app.mails_to(OWNER).await.last().unwrap());
    assert_eq!(app.check_otp(&token, &code).await.status, 200);
    assert_eq!(app.reset_password(&token, NEW).await.status, 200);
    let user = app.user(OTHER).await;
    assert_eq!(user.email_verified_at, None);
    assert_eq!(user.confirmed_email.unwrap().as_str(), OWNER);
    let access = app.login(OTHER, NEW).await.access;
    assert_eq!(claims(&access)["email_verified"], false);
}

/// M4: The email that still gets codes is taken for everyone else, as its owner must be able to return to it.
#[tokio::test]
async fn email_that_gets_codes_is_taken() {
    for (privacy, status) in [("off", 409), ("on", 201)] {
        let app = TestApp::with(&[("REGISTRATION_PRIVACY", privacy)]).await;
        change_email(&app).await;
        let other = app.logged_in_user("eve@example.com").await;
        let body = registration("Ada@Example.com");
        let answer = app.post("/api/register/", body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        app.patch_user(&other.access, json!({"email": OWNER}))
            .await
            .assert_problem(409, "email-taken");
        let is_told = app
            .mails_to(OWNER)
            .await
            .iter()
            .any(|mail| mail.subject.contains("already have"));
        assert_eq!(is_told, privacy == "on");
    }
}

/// M4: The owner can return to the previous email, and a confirmed change frees it.
#[tokio::test]
async fn previous_email_is_free_after_confirmation() {
    let app = TestApp::new().await;
    let (tokens, token) = change_email(&app).await;
    let code = code_in(&app.mails_to(OTHER).await[0]);
    let back = app
        .patch_user(&tokens.access, json!({"email": OWNER}))
        .await;
    assert_eq!(back.status, 200);
    assert_eq!(app.user(OWNER).await.confirmed_email, None);
    let mails = app.mails_to(OWNER).await;
    let is_told = |mail: &&Mail| mail.subject.contains("has this email again");
    assert_eq!(mails.iter().filter(is_told).count(), 1, "{mails:?}");
    confirm(&app, &token, &code)
        .await
        .assert_problem(400, "invalid-otp");

    let again = app
        .patch_user(&tokens.access, json!({"email": "countess@example.com"}))
        .await;
    let code = code_in(app.mails_to("countess@example.com").await.last().unwrap());
    assert_eq!(confirm(&app, &token_of(&again), &code).await.status, 200);
    app.advance_clock(TimeDelta::days(1));
    assert_eq!(app.register(OWNER).await.status, 201);
}

/// M4: An attacker with a stolen token who confirms another email gets no code for a day, and the owner can restore the previous email.
#[tokio::test]
async fn email_confirmed_by_attacker_can_be_restored() {
    let app = TestApp::new().await;
    let (stolen, token) = change_email(&app).await;
    let code = code_in(app.mails_to(OTHER).await.last().unwrap());
    assert_eq!(confirm(&app, &token, &code).await.status, 200);
    app.complete_reset(OWNER, NEW).await;
    app.assert_revoked(&stolen).await;
    app.login(OWNER, NEW).await;
    app.advance_clock(TimeDelta::days(2));
    app.request_reset_token(OTHER).await;
    assert!(reset_codes(&app.mails_to(OTHER).await).is_empty());
}

/// The claim `email_verified` is true from the confirmation on, until the email changes.
#[tokio::test]
async fn access_token_claims_whether_email_is_confirmed() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user(OWNER).await;
    assert_eq!(claims(&tokens.access)["email_verified"], false);
    app.complete_reset(OWNER, NEW).await;
    let tokens = app.login(OWNER, NEW).await;
    assert_eq!(claims(&tokens.access)["email_verified"], true);
    let changed = app
        .patch_user(&tokens.access, json!({"email": OTHER}))
        .await;
    let renewed = app.refresh(&tokens.refresh).await.text("/access");
    assert_eq!(claims(&renewed)["email_verified"], false);
    let code = code_in(app.mails_to(OTHER).await.last().unwrap());
    confirm(&app, &token_of(&changed), &code).await;
    let renewed = app.refresh(&tokens.refresh).await.text("/access");
    assert_eq!(claims(&renewed)["email_verified"], true);
}

/// The owner can request another code, which replaces the first one.
#[tokio::test]
async fn resent_email_code_replaces_the_first() {
    let app = TestApp::new().await;
    let (tokens, first) = change_email(&app).await;
    let first_code = code_in(app.mails_to(OTHER).await.last().unwrap());
    let resend = async || {
        let request = app
            .request(reqwest::Method::POST, "/auth/confirm_email/resend/")
            .bearer_auth(&tokens.access);
        app.send(request).await
    };
    app.advance_clock(TimeDelta::minutes(2));
    let answer = resend().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.text("/email"), OTHER);
    let code = code_in(app.mails_to(OTHER).await.last().unwrap());
    confirm(&app, &first, &first_code)
        .await
        .assert_problem(400, "invalid-otp");
    assert_eq!(
        confirm(&app, &answer.text("/token"), &code).await.status,
        200
    );
    let confirmed = resend().await;
    confirmed.assert_problem(409, "invalid-state");
    assert!(confirmed.text("/detail").contains("needs no code"));
}

/// O3: Wrong codes count for the mailbox that the code was sent to, so that a stolen token does not give more guesses by more emails.
#[tokio::test]
async fn wrong_codes_count_for_the_mailbox_with_the_code() {
    let app = TestApp::with(&[
        ("LIMIT_OTP_EMAIL_IP", "3/86400"),
        ("LIMIT_EMAIL_CHANGE", "10/3600"),
        ("LIMIT_MAIL_CAUSE", "10/3600"),
    ])
    .await;
    let tokens = app.logged_in_user(OWNER).await;
    for number in 0..4 {
        let email = format!("thief{number}@example.com");
        let changed = app
            .patch_user(&tokens.access, json!({"email": email}))
            .await;
        assert_eq!(changed.status, 200, "{changed:?}");
        let token = app.request_reset_token(&email).await;
        let mails = app.mails_to(OWNER).await;
        let code = code_in(reset_codes(&mails).last().unwrap());
        let answer = app.check_otp(&token, &wrong_code(&code)).await;
        if number < 3 {
            answer.assert_problem(400, "invalid-otp");
        } else {
            answer.assert_problem(429, "too-many-requests");
        }
        app.advance_clock(TimeDelta::seconds(61));
    }
}

/// A change that only differs in case confirms nothing and needs no code.
#[tokio::test]
async fn other_spelling_of_email_needs_no_code() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user(OWNER).await;
    let mails = app.mails_to(OWNER).await.len();
    let answer = app
        .patch_user(&tokens.access, json!({"email": "ADA@example.com"}))
        .await;
    assert_eq!(answer.status, 200);
    assert!(!answer.headers.contains_key(TOKEN));
    assert_eq!(app.mails_to(OWNER).await.len(), mails);
    app.login(OWNER, PASSWORD).await;
}
