//! The language of an account, and of its owner's mails.

use reqwest::{Method, header::ACCEPT_LANGUAGE};
use serde_json::json;

use crate::support::{
    dashboard::Dashboard,
    test_app::{ApiResponse, PASSWORD, TestApp, registration},
};

const EMAIL: &str = "ada@example.com";

/// Registers with the languages that a browser accepts.
async fn register(app: &TestApp, email: &str, accepted: &str) -> ApiResponse {
    let request = app
        .request(Method::POST, "/api/register/")
        .header(ACCEPT_LANGUAGE, accepted)
        .json(&registration(email));
    app.send(request).await
}

async fn language(app: &TestApp, email: &str) -> Option<String> {
    let language = app.user(email).await.language;
    language.map(|language| language.to_string())
}

fn is_arabic(text: &str) -> bool {
    text.contains("حسابك")
}

/// Clients of the original get its fields alone, and mails in the language of the browser.
#[tokio::test]
async fn registration_takes_language_of_browser_without_answering_it() {
    let app = TestApp::new().await;
    let answer = register(&app, EMAIL, "fr;q=0.3, ar-EG, en;q=0.5").await;
    assert_eq!(answer.status, 201);
    assert!(!answer.keys().contains(&"language"), "{answer:?}");
    assert_eq!(language(&app, EMAIL).await.as_deref(), Some("ar-EG"));

    let mail = &app.mails_to(EMAIL).await[0];
    assert_eq!(mail.subject, "مرحبًا بك في \u{2068}Latchkey\u{2069}");
    assert!(is_arabic(&mail.text) && is_arabic(&mail.html), "{mail:?}");
    assert!(mail.html.contains("lang=\"ar\" dir=\"rtl\""));
    app.activate(EMAIL).await;
    let access = app.login(EMAIL, PASSWORD).await.access;
    let profile = app.get_user(&access).await;
    assert!(!profile.keys().contains(&"language"), "{profile:?}");
    app.register("plain@example.com").await;
    assert_eq!(language(&app, "plain@example.com").await, None);
}

/// A language that the owner sets is answered until the owner clears it.
#[tokio::test]
async fn chosen_language_is_answered_until_cleared() {
    let app = TestApp::new().await;
    let mut form = registration(EMAIL);
    form["language"] = json!("AR-eg");
    let answer = app.post("/api/register/", form).await;
    assert_eq!(answer.text("/language"), "ar-EG");
    app.activate(EMAIL).await;
    let access = app.login(EMAIL, PASSWORD).await.access;
    assert_eq!(app.get_user(&access).await.text("/language"), "ar-EG");

    let changed = app.patch_user(&access, json!({"language": "pt-br"})).await;
    assert_eq!(changed.text("/language"), "pt-BR");
    let kept = app.patch_user(&access, json!({"username": "Ada"})).await;
    assert_eq!(kept.text("/language"), "pt-BR");
    let cleared = app.patch_user(&access, json!({"language": null})).await;
    assert!(!cleared.keys().contains(&"language"), "{cleared:?}");
    assert_eq!(language(&app, EMAIL).await, None);
}

#[tokio::test]
async fn invalid_language_returns_400_with_field() {
    let app = TestApp::new().await;
    let access = app.logged_in_user(EMAIL).await.access;
    for invalid in ["english", "*", "und", "../ar", "ar\u{202e}"] {
        let answer = app.patch_user(&access, json!({"language": invalid})).await;
        answer.assert_invalid_field("language", "invalid");
        let mut form = registration("new@example.com");
        form["language"] = json!(invalid);
        let answer = app.post("/api/register/", form).await;
        answer.assert_invalid_field("language", "invalid");
    }
}

/// With `REGISTRATION_PRIVACY` a taken email gets the same answer, and its owner a mail in the owner's language.
#[tokio::test]
async fn taken_email_is_told_in_language_of_owner() {
    let app = TestApp::with(&[("REGISTRATION_PRIVACY", "on")]).await;
    register(&app, EMAIL, "ar").await;
    app.activate(EMAIL).await;
    let mut form = registration(EMAIL);
    form["language"] = json!("en");

    let answer = app.post("/api/register/", form).await;

    assert_eq!(answer.text("/language"), "en");
    let mails = app.mails_to(EMAIL).await;
    assert!(is_arabic(&mails.last().unwrap().text), "{mails:?}");
    assert_eq!(language(&app, EMAIL).await.as_deref(), Some("ar"));
}

/// M3: The language of an administrator's browser or dashboard reaches neither the account nor its owner's mails.
#[tokio::test]
async fn language_of_administrator_does_not_reach_owner() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    register(&app, EMAIL, "en-GB").await;
    register(&app, "layla@example.com", "ar").await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    root.post(
        "/admin/preferences/",
        &[("theme", "system"), ("language", "ar")],
    )
    .await;
    for (email, arabic) in [(EMAIL, false), ("layla@example.com", true)] {
        let id = app.user(email).await.id.to_string();
        let before = language(&app, email).await;
        root.post("/admin/users/bulk/", &[("act", "activate"), ("id", &id)])
            .await;
        let mails = app.mails_to(email).await;
        assert_eq!(mails.len(), 2, "{mails:?}");
        assert_eq!(is_arabic(&mails[1].text), arabic, "{mails:?}");
        assert_eq!(language(&app, email).await, before);
    }
}

/// Staff choose among the languages that have templates. The owner's responses do not show it.
#[tokio::test]
async fn staff_set_language_in_form_and_api() {
    let app = TestApp::new().await;
    app.create_superuser("root@example.com").await;
    register(&app, EMAIL, "ar-EG").await;
    app.activate(EMAIL).await;
    let user = app.user(EMAIL).await;
    let root = Dashboard::signed_in(&app, "root@example.com").await;
    let path = format!("/admin/users/{}/", user.id);
    let html = root.get_html(&path).await;
    for option in [
        r#"<option value="ar">العربية</option>"#,
        r#"<option value="en">English</option>"#,
        r#"<option value="ar-EG" selected>ar-EG</option>"#,
    ] {
        assert!(html.contains(option), "{option}: {html}");
    }

    let version = user.version.to_string();
    let form = [
        ("version", version.as_str()),
        ("email", EMAIL),
        ("username", "Ada"),
        ("status", "active"),
    ];
    let form = |language| [&form[..], &[("language", language)]].concat();
    let refused = root.post(&path, &form("english")).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.html.contains("id=\"e-language\""),
        "{}",
        refused.html
    );
    root.post(&path, &form("en")).await;
    assert_eq!(language(&app, EMAIL).await.as_deref(), Some("en"));
    let access = app.login(EMAIL, PASSWORD).await.access;
    let profile = app.get_user(&access).await;
    assert!(!profile.keys().contains(&"language"), "{profile:?}");

    let admin = app.login("root@example.com", PASSWORD).await.access;
    let change = app
        .request(Method::PATCH, &format!("/api{path}"))
        .bearer_auth(admin)
        .json(&json!({"language": "ar"}));
    assert_eq!(app.send(change).await.text("/language"), "ar");
}
