//! Verification of an account's email by its owner (M3).

use chrono::TimeDelta;
use latchkey_shared::models::user;
use reqwest::{Method, multipart};
use serde_json::json;

use crate::{
    support::dashboard::Dashboard,
    support::test_app::{PASSWORD, TestApp, code_in},
};

const EMAIL: &str = "ada@example.com";
const NEW: &str = "another quiet morning";

/// Creates an account whose owner has verified its email by a reset.
async fn create_verified_user(app: &TestApp) -> user::Model {
    app.register(EMAIL).await;
    app.activate(EMAIL).await;
    let token = app.request_checked_reset(EMAIL).await;
    assert_eq!(app.user(EMAIL).await.email_verified_at, None);
    assert_eq!(app.reset_password(&token, NEW).await.status, 200);
    let user = app.user(EMAIL).await;
    assert_eq!(user.email_verified_at, Some(app.clock.now()));
    user
}

/// Asserts that the account has a new, unverified email, and that one statement wrote both.
async fn assert_unverified_since_now(app: &TestApp, email: &str) {
    let user = app.user(email).await;
    assert_eq!(user.email_verified_at, None, "{email}");
    assert_eq!(user.email_set_at, Some(app.clock.now()), "{email}");
    let statements = app.statements.take();
    let of_address = |sql: &&String| sql.starts_with("UPDATE") && sql.contains("\"email\" =");
    let changes: Vec<_> = statements.iter().filter(of_address).collect();
    assert_eq!(changes.len(), 1, "{statements:#?}");
    assert!(
        changes[0].contains("\"email_verified_at\" ="),
        "{changes:?}"
    );
}

/// M3: A password reset verifies the email, and the profile does not show it.
#[tokio::test]
async fn password_reset_verifies_email() {
    let app = TestApp::new().await;
    let user = create_verified_user(&app).await;
    assert_eq!(user.email_set_at, None);
    app.advance_clock(TimeDelta::hours(1));
    let access = app.login(EMAIL, NEW).await.access;
    let profile = app.get_user(&access).await;
    assert!(!profile.body.to_string().contains("erified"), "{profile:?}");
}

/// M3: An activation by code verifies the email.
#[tokio::test]
async fn activation_by_owner_verifies_email() {
    let app = TestApp::with(&[("ACTIVATION", "email")]).await;
    let token = app.register(EMAIL).await.text("/activation_token");
    let code = code_in(&app.mails_to(EMAIL).await[0]);
    assert_eq!(app.user(EMAIL).await.email_verified_at, None);
    app.advance_clock(TimeDelta::minutes(1));
    let body = json!({"token": token, "otp": code});
    assert_eq!(app.post("/auth/activate/", body).await.status, 200);
    let user = app.user(EMAIL).await;
    assert_eq!(user.email_verified_at, Some(app.clock.now()));
}

/// M3: An activation by an administrator proves nothing about the mailbox.
#[tokio::test]
async fn activation_by_staff_does_not_verify_email() {
    let app = TestApp::with(&[("ACTIVATION", "email")]).await;
    app.logged_in_user(EMAIL).await;
    assert_eq!(app.user(EMAIL).await.email_verified_at, None);
}

/// M3: A new email chosen by the owner is unverified.
#[tokio::test]
async fn email_change_by_owner_clears_verification() {
    let app = TestApp::new().await;
    let user = create_verified_user(&app).await;
    let access = app.login(EMAIL, NEW).await.access;
    app.advance_clock(TimeDelta::seconds(1));
    for same in [
        json!({"email": "ADA@Example.com", "username": "Countess"}),
        json!({"username": "Ada"}),
    ] {
        assert_eq!(app.patch_user(&access, same).await.status, 200);
        let now = app.user(EMAIL).await;
        assert_eq!(now.email_verified_at, user.email_verified_at);
        assert_eq!(now.email_set_at, None);
    }
    app.statements.take();
    let change = json!({"email": "ada+1@example.com"});
    assert_eq!(app.patch_user(&access, change).await.status, 200);
    assert_unverified_since_now(&app, "ada+1@example.com").await;
    // The former email is unverified, too, when the owner returns to it.
    app.advance_clock(TimeDelta::seconds(1));
    let back = json!({"email": EMAIL});
    assert_eq!(app.patch_user(&access, back).await.status, 200);
    assert_unverified_since_now(&app, EMAIL).await;
}

/// M3: A new email set by staff, in the dashboard or by the API, is unverified.
#[tokio::test]
async fn email_change_by_staff_clears_verification() {
    let app = TestApp::new().await;
    let user = create_verified_user(&app).await;
    app.create_superuser("root@example.com").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    app.advance_clock(TimeDelta::seconds(1));
    let save = async |email: &str, username: &str| {
        let version = app.user(EMAIL).await.version.to_string();
        let form = multipart::Form::new()
            .text("csrf", root.csrf.clone())
            .text("version", version)
            .text("email", email.to_owned())
            .text("username", username.to_owned())
            .text("is_activated", "on")
            .text("is_active", "on");
        let path = format!("/admin/users/{}/", user.id);
        let page = root.send(root.post_request(&path).multipart(form)).await;
        assert_eq!(page.status, 303, "{page:?}");
    };
    save(EMAIL, "Countess").await;
    let now = app.user(EMAIL).await;
    assert_eq!(now.email_verified_at, user.email_verified_at);

    app.statements.take();
    save("countess@example.com", "Countess").await;
    assert_unverified_since_now(&app, "countess@example.com").await;

    app.advance_clock(TimeDelta::hours(25));
    app.complete_reset("countess@example.com", PASSWORD).await;
    assert!(
        app.user("countess@example.com")
            .await
            .email_verified_at
            .is_some()
    );
    let access = app.login("root@example.com", PASSWORD).await.access;
    app.statements.take();
    let path = format!("/api/admin/users/{}/", user.id);
    let change = app.request(Method::PATCH, &path).bearer_auth(&access);
    let change = change.json(&json!({"email": "lovelace@example.com"}));
    assert_eq!(app.send(change).await.status, 200);
    assert_unverified_since_now(&app, "lovelace@example.com").await;
}
