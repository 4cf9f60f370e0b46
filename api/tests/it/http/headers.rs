//! Response headers, and the origins that may call from a browser.

use reqwest::Method;
use serde_json::json;

use crate::{
    accounts::pictures::{data_url, png},
    http::{errors::fail_on, register_with_picture},
    support::test_app::{PASSWORD, TestApp, registration},
};

const RESET: &str = "/auth/email_request/";

/// A6: every response protects the client: no framing, no type guessing, and an id for support requests.
#[tokio::test]
async fn every_response_has_security_headers_and_request_id() {
    let app = TestApp::with(&[("LIMIT_RESET_IP", "1/60")]).await;
    let picture = register_with_picture(&app, "ada@example.com").await;
    app.activate("ada@example.com").await;
    let tokens = app.login("ada@example.com", PASSWORD).await;
    let reset = json!({"email": "ada@example.com"});
    let form = registration("new@example.com");
    let mut answers = Vec::new();
    for (status, method, path, body) in [
        (200, Method::GET, "/", None),
        (200, Method::GET, "/docs", None),
        (200, Method::GET, "/openapi.json", None),
        (200, Method::GET, "/health/live", None),
        (401, Method::GET, "/api/user/", None),
        (404, Method::GET, "/nope", None),
        (200, Method::GET, &picture, None),
        (404, Method::GET, "/media/none.png", None),
        (200, Method::GET, "/admin/login/", None),
        (303, Method::GET, "/admin/", None),
        (400, Method::POST, "/api/login/", Some(json!({}))),
        (201, Method::POST, "/api/register/", Some(form)),
        (201, Method::POST, RESET, Some(reset.clone())),
        (429, Method::POST, RESET, Some(reset)),
        (405, Method::DELETE, "/api/login/", None),
        (403, Method::POST, "/admin/login/", None),
    ] {
        let mut request = app.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answers.push((status, path, app.send(request).await));
    }
    fail_on(&app, "UPDATE ON users").await;
    let rename = app
        .patch_user(&tokens.access, json!({"username": "Eve"}))
        .await;
    answers.push((500, "failing database", rename));
    for (status, path, answer) in answers {
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
        assert_eq!(answer.headers["x-frame-options"], "DENY");
        // The forms of the dashboard send a referrer to their own origin, which checks it.
        let page = path.starts_with("/admin/") && answer.status != 303;
        let referrer = if page { "same-origin" } else { "no-referrer" };
        assert_eq!(answer.headers["referrer-policy"], referrer, "{path}");
        assert!(
            answer.headers["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("frame-ancestors 'none'")
        );
        assert!(answer.headers.contains_key("x-request-id"));
        assert!(
            !answer.headers.contains_key("strict-transport-security"),
            "there is no HTTPS here"
        );
        let content_types = answer.headers.get_all("content-type").iter().count();
        assert!(content_types <= 1, "{path}: {content_types}");
    }
}

/// A6: no cache stores tokens or personal data.
#[tokio::test]
async fn responses_with_personal_data_have_no_store() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let profile = app.get_user(&tokens.access).await;
    let login = app.try_login("ada@example.com", PASSWORD).await;
    let refresh = json!({"refresh": tokens.refresh});
    let refresh = app.post("/auth/refresh/", refresh).await;
    let own = |path: &str| {
        let request = app.request(Method::GET, path);
        app.send(request.bearer_auth(&tokens.access))
    };
    let sessions = own("/auth/sessions/").await;
    let activity = own("/auth/activity/").await;
    let requested = app.post(RESET, json!({"email": "ada@example.com"})).await;
    let (token, code) = app.request_reset("ada@example.com").await;
    let checked = app.check_otp(&token, &code).await;
    let reset = app.reset_password(&token, "another quiet morning").await;
    for answer in [
        profile, login, refresh, sessions, activity, requested, checked, reset,
    ] {
        assert!(answer.status.is_success(), "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

/// A client can correlate its requests by its own id. The server replaces an id that could harm logs.
#[tokio::test]
async fn valid_request_id_is_kept_others_are_replaced() {
    let app = TestApp::new().await;
    for (id, is_kept) in [
        ("trace-0123456789", true),
        ("short", false),
        ("with blanks in it", false),
        (&"x".repeat(65), false),
        ("<script>alert(1)</script>", false),
    ] {
        let request = app.request(Method::GET, "/nope");
        let answer = app.send(request.header("x-request-id", id)).await;
        assert_eq!(answer.text("/instance") == id, is_kept, "{id}");
    }
}

/// A6: browsers that have once used HTTPS never use plain HTTP.
#[tokio::test]
async fn https_public_url_enables_hsts() {
    let app = TestApp::with(&[("PUBLIC_URL", "https://accounts.example.com")]).await;
    let answer = app.send(app.request(Method::GET, "/health/live")).await;
    assert!(
        answer.headers["strict-transport-security"]
            .to_str()
            .unwrap()
            .starts_with("max-age=")
    );
}

/// A client cannot choose the host in the URLs of other users (S13 of the original).
#[tokio::test]
async fn picture_url_ignores_the_host_header() {
    let app = TestApp::with(&[("PUBLIC_URL", "https://accounts.example.com")]).await;
    let mut form = registration("ada@example.com");
    form["image"] = data_url(&png(4, 4)).into();
    let request = app
        .request(Method::POST, "/api/register/")
        .header("host", "evil.example")
        .json(&form);

    let answer = app.send(request).await;

    assert!(
        answer
            .text("/image")
            .starts_with("https://accounts.example.com/media/"),
        "{answer:?}"
    );
}

/// A5: without configuration, pages of other origins cannot call the API.
#[tokio::test]
async fn foreign_origin_is_not_allowed_by_default() {
    let app = TestApp::new().await;
    let from = |method| {
        let request = app.request(method, "/api/login/");
        request.header("origin", "https://evil.example")
    };
    let preflight = from(Method::OPTIONS).header("access-control-request-method", "POST");
    for request in [from(Method::POST).json(&json!({})), preflight] {
        let answer = app.send(request).await;
        let headers = &answer.headers;
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{answer:?}"
        );
    }
}

/// A5: pages of configured origins can call the API and read the headers about limits.
#[tokio::test]
async fn only_configured_origins_are_allowed() {
    let app = TestApp::with(&[(
        "CORS_ORIGINS",
        "https://app.example.com, https://other.example.com",
    )])
    .await;
    let preflight = |origin: &str| {
        app.request(Method::OPTIONS, "/api/user/")
            .header("origin", origin)
            .header("access-control-request-method", "PATCH")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
    };

    let answer = app.send(preflight("https://app.example.com")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://app.example.com"
    );
    app.send(preflight("https://evil.example"))
        .await
        .assert_problem(403, "origin-not-allowed");

    let own = app
        .request(Method::POST, "/api/login/")
        .header("origin", &app.base)
        .json(&json!({}));
    app.send(own).await.assert_problem(400, "invalid-input");

    let read = app
        .request(Method::POST, "/api/login/")
        .header("origin", "https://app.example.com")
        .json(&json!({}));
    let answer = app.send(read).await;
    let exposed = answer.headers["access-control-expose-headers"]
        .to_str()
        .unwrap();
    for name in [
        "x-request-id",
        "email-confirmation-token",
        "retry-after",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
    ] {
        assert!(exposed.contains(name), "{exposed}");
    }
}
