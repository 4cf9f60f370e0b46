//! What every answer carries, and who may ask from a browser.

use reqwest::Method;
use serde_json::json;

use crate::support::test_app::TestApp;

/// A6
#[tokio::test]
async fn every_response_has_security_headers_and_request_id() {
    let app = TestApp::with(&[("LIMIT_RESET_IP", "1/60")]).await;
    let mut form = crate::support::test_app::registration("ada@example.com");
    form["image"] = json!(crate::accounts::pictures::data_url(
        &crate::accounts::pictures::png(4, 4)
    ));
    let registered = app.post("/api/register/", form).await;
    let image = registered.text("/image");
    let picture = image.strip_prefix(&app.base).unwrap();
    app.activate("ada@example.com").await;
    let me = app
        .login("ada@example.com", crate::support::test_app::PASSWORD)
        .await;
    let mail = json!({"email": "ada@example.com"});
    let mut answers = vec![(201, "registration", registered)];
    for (status, method, path, body) in [
        (200, Method::GET, "/", None),
        (200, Method::GET, "/docs", None),
        (200, Method::GET, "/openapi.json", None),
        (200, Method::GET, "/health/live", None),
        (401, Method::GET, "/api/user/", None),
        (404, Method::GET, "/nope", None),
        (200, Method::GET, picture, None),
        (404, Method::GET, "/media/none.png", None),
        (200, Method::GET, "/admin/login/", None),
        (303, Method::GET, "/admin/", None),
        (400, Method::POST, "/api/login/", Some(json!({}))),
        (
            201,
            Method::POST,
            "/auth/email_request/",
            Some(mail.clone()),
        ),
        (429, Method::POST, "/auth/email_request/", Some(mail)),
        (405, Method::DELETE, "/api/login/", None),
        (403, Method::POST, "/admin/login/", None),
    ] {
        let mut request = app.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answers.push((status, path, app.send(request).await));
    }
    let broken = "ALTER TABLE sessions RENAME TO gone";
    crate::admin::audit_log::execute(&app, broken)
        .await
        .unwrap();
    answers.push((500, "no table", app.get_user(&me.access).await));
    for (status, path, answer) in answers {
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
        assert_eq!(answer.headers["x-frame-options"], "DENY");
        // Its forms tell where they are, to itself alone.
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

/// A6
#[tokio::test]
async fn responses_with_personal_data_have_no_store() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let profile = app.get_user(&tokens.access).await;
    let login = app
        .try_login("ada@example.com", crate::support::test_app::PASSWORD)
        .await;
    let refresh = app
        .post("/auth/refresh/", json!({"refresh": tokens.refresh}))
        .await;
    let own = |path: &str| {
        let request = app.request(Method::GET, path);
        app.send(request.bearer_auth(&tokens.access))
    };
    let sessions = own("/auth/sessions/").await;
    let activity = own("/auth/activity/").await;
    let asked = app
        .post("/auth/email_request/", json!({"email": "ada@example.com"}))
        .await;
    let (token, code) = app.request_reset("ada@example.com").await;
    let checked = app.check_otp(&token, &code).await;
    let reset = app.reset_password(&token, "another quiet morning").await;
    for answer in [
        profile, login, refresh, sessions, activity, asked, checked, reset,
    ] {
        assert!(answer.status.is_success(), "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn valid_request_id_is_kept_others_are_replaced() {
    let app = TestApp::new().await;
    let given = "trace-0123456789";
    let answer = app
        .send(
            app.request(Method::GET, "/nope")
                .header("x-request-id", given),
        )
        .await;
    assert_eq!(answer.text("/instance"), given);

    for odd in [
        "short",
        "with blanks in it",
        &"x".repeat(65),
        "<script>alert(1)</script>",
    ] {
        let answer = app
            .send(
                app.request(Method::GET, "/nope")
                    .header("x-request-id", odd),
            )
            .await;
        assert_ne!(answer.text("/instance"), odd);
    }
}

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

/// S13 of the original: URLs were built from whatever the client called the server.
#[tokio::test]
async fn picture_url_ignores_the_host_header() {
    let app = TestApp::with(&[("PUBLIC_URL", "https://accounts.example.com")]).await;
    let mut form = crate::support::test_app::registration("ada@example.com");
    form["image"] = json!(crate::accounts::pictures::data_url(
        &crate::accounts::pictures::png(4, 4)
    ));
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

/// A5
#[tokio::test]
async fn foreign_origin_is_not_allowed_by_default() {
    let app = TestApp::new().await;
    let request = app
        .request(Method::POST, "/api/login/")
        .header("origin", "https://evil.example")
        .json(&json!({}));
    let answer = app.send(request).await;
    assert!(
        !answer.headers.contains_key("access-control-allow-origin"),
        "{answer:?}"
    );
    let preflight = app
        .request(Method::OPTIONS, "/api/login/")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST");
    let answer = app.send(preflight).await;
    assert!(
        !answer.headers.contains_key("access-control-allow-origin"),
        "{answer:?}"
    );
}

/// A5
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
        "retry-after",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
    ] {
        assert!(exposed.contains(name), "{exposed}");
    }
}
