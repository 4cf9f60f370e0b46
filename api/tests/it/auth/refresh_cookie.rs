//! The refresh token as a cookie (`REFRESH_COOKIE=on`).

use reqwest::{Method, header::HeaderValue};
use serde_json::json;

use crate::support::test_app::{ApiResponse, PASSWORD, TestApp};

const PAGE: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example";
const EMAIL: &str = "ada@example.com";

async fn app_with_cookies(settings: &[(&str, &str)]) -> TestApp {
    let base = [("REFRESH_COOKIE", "on"), ("CORS_ORIGINS", PAGE)];
    let app = TestApp::with(&[&base[..], settings].concat()).await;
    app.register(EMAIL).await;
    app.activate(EMAIL).await;
    app
}

/// Logs in as a page of this origin, or as another kind of client.
async fn log_in(app: &TestApp, origin: Option<&str>) -> ApiResponse {
    let credentials = json!({"email": EMAIL, "password": PASSWORD});
    let request = app.request(Method::POST, "/api/login/").json(&credentials);
    let answer = app.send(with_origin(request, origin)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn with_origin(request: reqwest::RequestBuilder, origin: Option<&str>) -> reqwest::RequestBuilder {
    match origin {
        Some(origin) => request.header("origin", origin),
        None => request,
    }
}

/// Sends a POST without a body, with the cookie and the origin of a page.
async fn post(app: &TestApp, path: &str, cookie: &str, origin: Option<&str>) -> ApiResponse {
    let request = app.request(Method::POST, path).header("cookie", cookie);
    app.send(with_origin(request, origin)).await
}

/// Returns the name and value of the response's cookie.
#[track_caller]
fn cookie(answer: &ApiResponse) -> String {
    let cookie = set_cookie(answer).expect("a cookie");
    cookie.split(';').next().unwrap().to_owned()
}

fn set_cookie(answer: &ApiResponse) -> Option<&str> {
    let header = answer.headers.get("set-cookie");
    header.map(|value| value.to_str().unwrap())
}

/// Scripts of a page cannot read the refresh token. Other clients still get it in the JSON.
#[tokio::test]
async fn pages_get_refresh_token_as_cookie_other_clients_as_json() {
    let app = app_with_cookies(&[]).await;
    for origin in [PAGE, app.base.as_str()] {
        let answer = log_in(&app, Some(origin)).await;
        let cookie = set_cookie(&answer).unwrap();
        for part in [
            "latchkey_refresh=",
            "HttpOnly",
            "SameSite=Strict",
            "Path=/auth/",
            "Max-Age=864000",
        ] {
            assert!(cookie.contains(part), "{part} is not in: {cookie}");
        }
        assert!(answer.body["token"].get("refresh").is_none(), "{answer:?}");
        let access = answer.text("/token/access");
        assert_eq!(app.get_user(&access).await.status, 200);
    }
    let answer = log_in(&app, None).await;
    assert_eq!(set_cookie(&answer), None);
    assert!(!answer.text("/token/refresh").is_empty());
}

#[tokio::test]
async fn cookie_refreshes_and_logs_out_without_body() {
    let app = app_with_cookies(&[]).await;
    let cookie = cookie(&log_in(&app, Some(PAGE)).await);
    let answer = post(&app, "/auth/refresh/", &cookie, Some(PAGE)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let access = answer.text("/access");
    assert_eq!(app.get_user(&access).await.status, 200);
    assert_eq!(set_cookie(&answer), None, "the token stays the same");

    let answer = post(&app, "/auth/logout/", &cookie, Some(PAGE)).await;
    assert_eq!(answer.status, 204);
    assert!(set_cookie(&answer).unwrap().contains("Max-Age=0"));
    app.get_user(&access)
        .await
        .assert_problem(401, "not-authenticated");
    post(&app, "/auth/refresh/", &cookie, Some(PAGE))
        .await
        .assert_problem(401, "invalid-refresh-token");
}

#[tokio::test]
async fn rotation_and_password_change_renew_the_cookie() {
    let app = app_with_cookies(&[("REFRESH_ROTATION", "on")]).await;
    let first = cookie(&log_in(&app, Some(PAGE)).await);
    let answer = post(&app, "/auth/refresh/", &first, Some(PAGE)).await;
    let second = cookie(&answer);
    assert!(answer.body.get("refresh").is_none(), "{answer:?}");
    assert_ne!(first, second);

    let change = json!({"password": PASSWORD, "new_password": "copper violin meadow"});
    let request = app
        .request(Method::POST, "/auth/change_password/")
        .bearer_auth(answer.text("/access"))
        .header("origin", PAGE)
        .json(&change);
    let answer = app.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.get("refresh").is_none(), "{answer:?}");
    let third = cookie(&answer);
    let answer = post(&app, "/auth/refresh/", &third, Some(PAGE)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    post(&app, "/auth/refresh/", &second, Some(PAGE))
        .await
        .assert_problem(401, "invalid-refresh-token");
}

/// CSRF: the browser adds the cookie to requests of any page of the same site, and a request without `Origin` has no page to trust.
#[tokio::test]
async fn cookie_of_untrusted_page_is_refused() {
    for origins in [PAGE, ""] {
        let app = app_with_cookies(&[("CORS_ORIGINS", origins)]).await;
        let own = app.base.clone();
        let cookie = cookie(&log_in(&app, Some(&own)).await);
        for path in ["/auth/refresh/", "/auth/logout/"] {
            for origin in [
                Some(EVIL),
                Some("null"),
                Some("https://app.example.com.evil.example"),
                None,
            ] {
                post(&app, path, &cookie, origin)
                    .await
                    .assert_problem(403, "origin-not-allowed");
            }
        }
        let answer = post(&app, "/auth/refresh/", &cookie, Some(&own)).await;
        assert_eq!(answer.status, 200, "the session lives: {answer:?}");
    }
}

/// Another host of the site can set a second cookie of the same name. It never logs a visitor in to a foreign account.
#[tokio::test]
async fn two_cookies_of_the_name_are_refused() {
    let app = app_with_cookies(&[]).await;
    let own = cookie(&log_in(&app, Some(PAGE)).await);
    let foreign = cookie(&log_in(&app, Some(PAGE)).await);
    for both in [format!("{foreign}; {own}"), format!("{own}; {foreign}")] {
        post(&app, "/auth/refresh/", &both, Some(PAGE))
            .await
            .assert_problem(401, "invalid-refresh-token");
    }
}

/// Another program of the site can set a cookie that is no text.
#[tokio::test]
async fn unreadable_cookie_hides_no_other() {
    let app = app_with_cookies(&[]).await;
    let own = cookie(&log_in(&app, Some(PAGE)).await);
    let both = [b"theme=\xe9\xff; ", own.as_bytes()].concat();
    let both = HeaderValue::from_bytes(&both).unwrap();
    let request = app.request(Method::POST, "/auth/refresh/");
    let request = with_origin(request.header("cookie", both), Some(PAGE));
    assert_eq!(app.send(request).await.status, 200);
}

/// A page that is not trusted gets no cookie, so that it cannot log a visitor in to its own account.
#[tokio::test]
async fn untrusted_page_gets_no_cookie() {
    let app = app_with_cookies(&[("CORS_ORIGINS", "")]).await;
    let answer = log_in(&app, Some(EVIL)).await;
    assert_eq!(set_cookie(&answer), None);
}

#[tokio::test]
async fn without_refresh_cookie_setting_cookies_are_ignored() {
    let app = app_with_cookies(&[("REFRESH_COOKIE", "off")]).await;
    let answer = log_in(&app, Some(PAGE)).await;
    assert_eq!(set_cookie(&answer), None);
    let cookie = format!("latchkey_refresh={}", answer.text("/token/refresh"));
    post(&app, "/auth/refresh/", &cookie, Some(PAGE))
        .await
        .assert_invalid_field("refresh", "required");
}

/// The field counts if a request has both, so that a client of the JSON form is not affected by cookies.
#[tokio::test]
async fn refresh_field_takes_precedence_over_cookie() {
    let app = app_with_cookies(&[]).await;
    let cookie = cookie(&log_in(&app, Some(PAGE)).await);
    let request = app
        .request(Method::POST, "/auth/refresh/")
        .header("cookie", &cookie)
        .json(&json!({"refresh": "not a token"}));
    let answer = app.send(with_origin(request, Some(PAGE))).await;
    answer.assert_problem(401, "invalid-refresh-token");
}

/// Over HTTPS the cookie has the prefix that browsers enforce, and stays below the path of `PUBLIC_URL`.
#[tokio::test]
async fn https_cookie_is_secure_and_below_the_public_path() {
    let url = "https://example.com/accounts";
    let app = app_with_cookies(&[("PUBLIC_URL", url)]).await;
    let answer = log_in(&app, Some("https://example.com")).await;
    let cookie = set_cookie(&answer).unwrap();
    for part in [
        "__Secure-latchkey_refresh=",
        "Path=/accounts/auth/",
        "Secure",
    ] {
        assert!(cookie.contains(part), "{part} is not in: {cookie}");
    }
}

/// A script on a page of a configured origin cannot read the dashboard of a signed-in administrator.
#[tokio::test]
async fn cors_allows_no_credentials_beyond_the_cookie_calls() {
    let app = app_with_cookies(&[]).await;
    for (path, allowed) in [
        ("/admin/", false),
        ("/admin/users/export", false),
        ("/api/user/", false),
        ("/api/admin/users/", false),
        ("/api/login/", true),
        ("/auth/sessions/", true),
    ] {
        let request = app.request(Method::GET, path).header("origin", PAGE);
        let answer = app.send(request).await;
        let credentials = answer.headers.get("access-control-allow-credentials");
        assert_eq!(credentials.is_some(), allowed, "{path}");
    }
}

/// Pages of other origins may send cookies only with the setting, and only those of configured origins.
#[tokio::test]
async fn cors_allows_credentials_only_for_configured_origins_with_cookies() {
    for (setting, origin, allowed) in [
        ("on", PAGE, Some("true")),
        ("off", PAGE, None),
        ("on", EVIL, None),
    ] {
        let app = app_with_cookies(&[("REFRESH_COOKIE", setting)]).await;
        let request = app
            .request(Method::OPTIONS, "/auth/refresh/")
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let answer = app.send(request).await;
        let credentials = answer.headers.get("access-control-allow-credentials");
        let credentials = credentials.map(|value| value.to_str().unwrap());
        assert_eq!(credentials, allowed, "{setting}, {origin}");
    }
}
