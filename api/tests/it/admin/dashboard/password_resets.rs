//! Password resets: the list and requests by staff.

use crate::{
    admin::admin_events,
    support::{
        dashboard::{Dashboard, assert_contains, assert_not_contains},
        test_app::TestApp,
    },
};

/// A4: administrators see password resets, but no token or code, and cannot create one here.
#[tokio::test]
async fn reset_list_is_read_only_without_secrets() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    app.post(
        "/auth/email_request/",
        serde_json::json!({"email": "unknown@example.com"}),
    )
    .await;
    let html = root.get_html("/admin/resets/").await;
    assert_contains(&html, "ada@example.com");
    assert_contains(&html, "unknown@example.com");
    assert_contains(&html, "no known account");
    assert_contains(&html, "Open");
    for secret in [&token, &code] {
        assert_not_contains(&html, secret);
    }
    assert_eq!(root.post("/admin/resets/", &[]).await.status, 405);
}

/// A4: administrators ask an owner to choose a new password, and never set one.
#[tokio::test]
async fn admin_requests_password_reset_by_mail() {
    let app = TestApp::new().await;
    let root = Dashboard::superuser(&app).await;
    app.logged_in_user("ada@example.com").await;
    let (token, code) = app.request_reset("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let before = app.user("ada@example.com").await.password_hash;
    root.bulk("request_password_reset", &[id], &[]).await;
    let mails = app.mails_to("ada@example.com").await;
    let last = mails.last().unwrap();
    assert_eq!(last.subject, "Please set a new Latchkey password");
    app.check_otp(&token, &code)
        .await
        .assert_problem(400, "invalid-otp");
    assert_eq!(app.user("ada@example.com").await.password_hash, before);
    let html = root.get_html(&format!("/admin/users/{id}/")).await;
    assert_not_contains(&html, "type=\"password\"");
    assert_not_contains(&html, "argon2");
}

/// T5: password resets that staff request stay within a budget of their own, and show no lockout.
#[tokio::test]
async fn staff_requested_resets_have_own_budget() {
    let app = TestApp::with(&[("LIMIT_MAIL_CAUSE", "3/3600")]).await;
    let root = Dashboard::superuser(&app).await;
    app.logged_in_user("ada@example.com").await;
    let id = app.user("ada@example.com").await.id;
    let user = format!("/admin/users/{id}/");
    for _ in 0..5 {
        root.bulk("request_password_reset", &[id], &[]).await;
    }
    let mails = app.mails_to("ada@example.com").await;
    let requests = mails
        .iter()
        .filter(|mail| mail.subject.starts_with("Please set a new"));
    assert_eq!(requests.count(), 3);
    let list = root.get_html("/admin/mails/?state=suppressed").await;
    assert_eq!(list.matches("LIMIT_MAIL_CAUSE").count(), 2, "{list}");
    let html = root.get_html(&user).await;
    assert_not_contains(&html, "Locked out until");
    assert_eq!(admin_events(&app).await.len(), 5);
}
