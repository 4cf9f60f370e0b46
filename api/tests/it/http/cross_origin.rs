//! Cross-origin requests (CORS), and the headers that caches need for them.

use latchkey_api::config::Config;
use latchkey_shared::config::settings::Settings;
use reqwest::{Method, header::HeaderMap};

use crate::{http::register_with_picture, support::test_app::TestApp};

const APP: &str = "https://app.example.com";

fn varies_by_origin(headers: &HeaderMap) -> bool {
    headers
        .get_all("vary")
        .iter()
        .flat_map(|value| value.to_str().unwrap().split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("origin"))
}

/// A5: a shared cache never serves the response for one origin to the page of another.
#[tokio::test]
async fn response_depending_on_origin_varies_by_it() {
    let app = TestApp::with(&[("CORS_ORIGINS", APP)]).await;
    let evil = "https://evil.example";
    for origin in [None, Some(APP), Some(evil), Some("null")] {
        for (method, path, body) in [
            (Method::GET, "/health/live", None),
            (Method::GET, "/openapi.json", None),
            (Method::GET, "/api/user/", None),
            (Method::GET, "/nope", None),
            (Method::DELETE, "/api/login/", None),
            (Method::POST, "/api/login/", Some("{")),
            (Method::OPTIONS, "/api/login/", None),
        ] {
            let mut request = app.request(method.clone(), path);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            if method == Method::OPTIONS {
                request = request.header("access-control-request-method", "POST");
            }
            if let Some(body) = body {
                request = request
                    .header("content-type", "application/json")
                    .body(body);
            }
            let answer = app.send(request).await;
            assert!(
                varies_by_origin(&answer.headers),
                "{method} {path} from {origin:?}: {answer:?}"
            );
            let allowed = answer.headers.get("access-control-allow-origin");
            assert_eq!(
                allowed.map(|value| value.to_str().unwrap()),
                origin.filter(|origin| *origin == APP),
                "{method} {path} from {origin:?}"
            );
            if origin.is_some_and(|origin| origin != APP) {
                answer.assert_problem(403, "origin-not-allowed");
            }
        }
    }
}

/// A5: a page of an allowed origin can read why its URL was rejected.
#[tokio::test]
async fn allowed_origin_can_read_a_414() {
    let app = TestApp::with(&[("CORS_ORIGINS", APP)]).await;
    let path = format!("/health/live?{}", "a".repeat(10_000));
    let request = app.request(Method::GET, &path).header("origin", APP);

    let answer = app.send(request).await;

    answer.assert_problem(414, "uri-too-long");
    assert_eq!(answer.headers["access-control-allow-origin"], APP);
}

/// A5: every page can embed and fetch pictures, and caches can serve the same response to all of them.
#[tokio::test]
async fn picture_is_readable_from_every_origin() {
    for configured in ["", APP] {
        let app = TestApp::with(&[("CORS_ORIGINS", configured)]).await;
        let picture = register_with_picture(&app, "ada@example.com").await;
        for (path, status) in [(picture.as_str(), 200), ("/media/none.png", 404)] {
            for origin in [None, Some(APP), Some("https://evil.example"), Some("null")] {
                let mut request = app.request(Method::GET, path);
                if let Some(origin) = origin {
                    request = request.header("origin", origin);
                }
                let answer = app.send(request).await;
                assert_eq!(answer.status, status, "{path} from {origin:?}: {answer:?}");
                let headers = &answer.headers;
                assert_eq!(headers["access-control-allow-origin"], "*");
                assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
                assert!(!headers.contains_key("access-control-allow-credentials"));
                assert!(!varies_by_origin(headers), "{path} from {origin:?}");
            }
        }
        let preflight = app
            .request(Method::OPTIONS, &picture)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization,x-app");
        let answer = app.send(preflight).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        let headers = answer.headers["access-control-allow-headers"].to_str();
        assert_eq!(headers.unwrap(), "authorization, *");
    }
}

/// A5: pages of other origins can read only pictures.
#[tokio::test]
async fn non_picture_paths_have_no_cors_headers() {
    let app = TestApp::new().await;
    for path in ["/health/live", "/openapi.json", "/mediator", "/nope"] {
        let request = app.request(Method::GET, path).header("origin", APP);
        let answer = app.send(request).await;
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        assert!(!answer.headers.contains_key("cross-origin-resource-policy"));
        assert!(!varies_by_origin(&answer.headers), "{path}");
    }
}

/// A5: an origin that no browser sends stops the start, so that a typo does not go unnoticed.
#[test]
fn invalid_cors_origin_stops_the_start() {
    let key = ("SECRET_KEY", "0123456789abcdef0123456789abcdef");
    for origin in [
        "*",
        "https://*.example.com",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://App.example.com",
        "https://app.example.com:443",
        "https://a.example;b.example",
        "ftp://app.example.com",
    ] {
        let origins = format!("{APP}, {origin}");
        let settings = Settings::from_pairs([key, ("CORS_ORIGINS", origins.as_str())]);

        let error = Config::read(settings).unwrap_err().to_string();

        assert!(error.contains("CORS_ORIGINS: expected origins"), "{error}");
        assert!(
            error.contains(&format!("({origin} "))
                || error.contains(&format!(" {origin} "))
                || error.contains("a.example;b.example"),
            "{error}"
        );
    }
}
