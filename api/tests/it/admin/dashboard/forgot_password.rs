//! The password reset at the sign-in.

use crate::support::{
    dashboard::{Dashboard, Page, assert_contains, assert_not_contains},
    test_app::{PASSWORD, TestApp, code_in, wrong_code},
};

const NEW_PASSWORD: &str = "another quiet morning";

/// Requests a code for an email, and returns the response.
async fn request(dashboard: &Dashboard, email: &str) -> Page {
    dashboard.post("/admin/forgot/", &[("email", email)]).await
}

/// Requests a code for an email with an account, and returns the mailed code.
async fn request_code(app: &TestApp, dashboard: &Dashboard, email: &str) -> String {
    let page = request(dashboard, email).await;
    assert_eq!(
        (page.status.as_u16(), page.location()),
        (303, "/admin/reset/")
    );
    let mails = app.mails_to(email).await;
    code_in(mails.last().expect("a mail with a code"))
}

/// Enters a code and a new password.
async fn reset(dashboard: &Dashboard, code: &str, password: &str) -> Page {
    let fields = [
        ("otp", code),
        ("new_password", password),
        ("password_again", password),
    ];
    dashboard.post("/admin/reset/", &fields).await
}

/// Staff who have forgotten the password set a new one with a mailed code, which ends their sessions.
#[tokio::test]
async fn forgotten_password_is_reset_with_mailed_code() {
    let app = TestApp::new().await;
    let signed_in = Dashboard::superuser(&app).await;
    let visitor = Dashboard::open(&app).await;
    assert_contains(&visitor.get_html("/admin/login/").await, "/admin/forgot/");
    assert_contains(&visitor.get_html("/admin/forgot/").await, "name=\"email\"");
    let code = request_code(&app, &visitor, "root@example.com").await;
    assert_contains(&visitor.get_html("/admin/reset/").await, "name=\"otp\"");

    let page = reset(&visitor, &code, NEW_PASSWORD).await;

    assert_eq!(page.location(), "/admin/login/");
    let flash = visitor.follow(&page).await;
    assert_eq!(
        flash,
        "Your password has been changed. Sign in to continue."
    );
    assert_eq!(signed_in.get("/admin/").await.status, 303);
    let page = visitor.sign_in("root@example.com", PASSWORD).await;
    assert_eq!(page.status, 401);
    let page = visitor.sign_in("root@example.com", NEW_PASSWORD).await;
    assert_eq!(page.status, 303);
    // The code and its cookie are used up.
    let page = visitor.get("/admin/reset/").await;
    assert_eq!(page.location(), "/admin/forgot/");
}

/// N1: no response shows whether an email has an account, or which one.
#[tokio::test]
async fn reset_pages_answer_alike_for_every_email() {
    let app = TestApp::new().await;
    app.create_superuser("known@example.com").await;
    app.register("pending@example.com").await;
    app.register("deactivated@example.com").await;
    app.deactivate("deactivated@example.com").await;
    let mut answers = Vec::new();
    for name in ["known", "unknown", "pending", "deactivated"] {
        let visitor = Dashboard::open(&app).await;
        let requested = request(&visitor, &format!("{name}@example.com")).await;
        app.deliver_all().await;
        let shown = visitor.get("/admin/reset/").await;
        // A right code of the account, but of another reset.
        let (_, code) = app.request_reset("known@example.com").await;
        let wrong = reset(&visitor, &wrong_code(&code), NEW_PASSWORD).await;
        // Another reset of the account ends the first one.
        if name == "known" {
            app.complete_reset("known@example.com", PASSWORD).await;
        }
        let ended = reset(&visitor, &code, NEW_PASSWORD).await;
        let token = requested.cookie("latchkey_reset").unwrap();
        assert_contains(&token, "HttpOnly");
        let pages = [requested, shown, wrong, ended];
        answers.push(pages.map(|page| {
            let names: Vec<_> = page.headers.keys().map(ToString::to_string).collect();
            let html = page.html.replace(&visitor.csrf, "csrf");
            (page.status, names, html)
        }));
    }
    let [known, others @ ..] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(known[2].0, 400);
    assert_contains(&known[2].2, "The code is wrong or has expired.");
    for other in others {
        assert_eq!(other, known);
    }
}

/// O5: an accepted code stays accepted while the owner corrects the password, which is compared with the account's data only then.
#[tokio::test]
async fn accepted_code_is_kept_while_password_is_corrected() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    let code = request_code(&app, &visitor, "root@example.com").await;
    let similar = "root@example.com";
    let page = reset(&visitor, &wrong_code(&code), similar).await;
    assert_contains(&page.html, "id=\"e-otp\"");
    assert_not_contains(&page.html, "id=\"e-new_password\"");
    let fields = [
        ("otp", code.as_str()),
        ("new_password", "password"),
        ("password_again", "different"),
    ];
    let page = visitor.post("/admin/reset/", &fields).await;
    for field in ["new_password", "password_again"] {
        assert_contains(&page.html, &format!("id=\"e-{field}\""));
    }
    assert_contains(&page.html, "name=\"otp\"");

    let page = reset(&visitor, &code, similar).await;

    assert_eq!(page.status, 400);
    assert_contains(&page.html, "id=\"e-new_password\"");
    assert_contains(&page.html, "The code is correct.");
    assert_not_contains(&page.html, "name=\"otp\"");
    assert_eq!(reset(&visitor, "", NEW_PASSWORD).await.status, 303);
    app.login("root@example.com", NEW_PASSWORD).await;
}

/// O3: the pages count wrong codes and expire like the API.
#[tokio::test]
async fn reset_page_limits_attempts_and_expires() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    let code = request_code(&app, &visitor, "root@example.com").await;
    for _ in 0..5 {
        let page = reset(&visitor, &wrong_code(&code), NEW_PASSWORD).await;
        assert_eq!(page.status, 400);
    }
    assert_eq!(reset(&visitor, &code, NEW_PASSWORD).await.status, 400);

    let code = request_code(&app, &visitor, "root@example.com").await;
    app.advance_clock(chrono::TimeDelta::minutes(5));
    assert_eq!(reset(&visitor, &code, NEW_PASSWORD).await.status, 400);
    app.advance_clock(chrono::TimeDelta::minutes(5));
    let page = visitor.get("/admin/reset/").await;
    assert_eq!(page.location(), "/admin/forgot/");
    let html = visitor.get_html("/admin/forgot/").await;
    assert_contains(&html, "This password reset has expired.");
    let page = reset(&visitor, &code, NEW_PASSWORD).await;
    assert_eq!(page.location(), "/admin/forgot/");
    app.login("root@example.com", PASSWORD).await;
}

/// T1: the pages share the limits of the API.
#[tokio::test]
async fn reset_pages_share_limits_with_api() {
    let settings = [
        ("LIMIT_RESET_IP", "2/3600"),
        ("LIMIT_RESET_PASSWORD_IP", "2/60"),
    ];
    let app = TestApp::with(&settings).await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    app.request_reset_token("root@example.com").await;
    request_code(&app, &visitor, "root@example.com").await;
    let page = request(&visitor, "root@example.com").await;
    assert_eq!(page.status, 429);
    assert_eq!(page.headers["retry-after"], "3600");
    for status in [400, 400, 429] {
        let page = reset(&visitor, "000000", NEW_PASSWORD).await;
        assert_eq!(page.status, status);
    }
    let response = app.reset_password("token", NEW_PASSWORD).await;
    response.assert_problem(429, "too-many-requests");

    let app = TestApp::with(&[("LIMIT_OTP_IP", "2/60")]).await;
    app.create_superuser("root@example.com").await;
    let visitor = Dashboard::open(&app).await;
    request_code(&app, &visitor, "root@example.com").await;
    for status in [400, 400, 429] {
        let page = reset(&visitor, "000000", NEW_PASSWORD).await;
        assert_eq!(page.status, status);
    }
    app.check_otp("token", "000000")
        .await
        .assert_problem(429, "too-many-requests");
}
