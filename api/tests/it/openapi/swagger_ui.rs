//! Swagger UI in a real browser, and how it is served.

use std::io::Read as _;

use fantoccini::Locator;
use flate2::read::GzDecoder;
use reqwest::Method;

use crate::support::{browser::Browser, test_app::TestApp};

/// Swagger UI and the documents are sent compressed, and only once to a browser that keeps them.
#[tokio::test]
async fn documents_are_compressed_and_revalidated() {
    let app = TestApp::new().await;
    for path in ["/docs", "/openapi.json", "/openapi.yaml"] {
        let plain = app.request(Method::GET, path).send().await.unwrap();
        assert_eq!(plain.headers()["cache-control"], "no-cache", "{path}");
        assert_eq!(plain.headers()["vary"], "Accept-Encoding", "{path}");
        let plain_tag = plain.headers()["etag"].clone();
        let plain = plain.text().await.unwrap();

        let request = || {
            app.request(Method::GET, path)
                .header("accept-encoding", "br, gzip")
        };
        let compressed = request().send().await.unwrap();
        assert_eq!(compressed.headers()["content-encoding"], "gzip", "{path}");
        let tag = compressed.headers()["etag"].clone();
        assert_ne!(tag, plain_tag, "{path}");
        let body = compressed.bytes().await.unwrap();
        assert!(body.len() < plain.len() / 3, "{path}: {}", body.len());
        let mut text = String::new();
        GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain, "{path}");

        let again = request().header("if-none-match", tag).send().await.unwrap();
        assert_eq!(again.status(), 304, "{path}");
        assert_eq!(again.bytes().await.unwrap().len(), 0, "{path}");
    }
}

/// The policy of Swagger UI allows its own scripts alone.
#[tokio::test]
async fn swagger_ui_policy_names_its_scripts() {
    let app = TestApp::new().await;
    let answer = app.send(app.request(Method::GET, "/docs")).await;
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    let scripts = policy.split(';').find(|part| part.contains("script-src"));
    let scripts = scripts.unwrap();
    assert_eq!(scripts.matches("'sha256-").count(), 2, "{scripts}");
    assert!(!scripts.contains("unsafe"), "{scripts}");
}

/// Users authorize and try a call in Swagger UI, which loads nothing from other servers.
#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_tries_call_without_foreign_requests() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let browser = Browser::start().await;

    let docs = format!("{}/docs", app.base);
    browser.client.goto(&docs).await.unwrap();
    assert_eq!(browser.client.title().await.unwrap(), "Latchkey API");
    browser.click(".btn.authorize").await;
    browser
        .find(".modal-ux input")
        .await
        .send_keys(&tokens.access)
        .await
        .unwrap();
    browser
        .click(".modal-ux .btn.modal-btn.auth.authorize")
        .await;
    browser.click(".modal-ux .btn-done").await;
    let call = "#operations-Account-getUser";
    browser
        .click(&format!("{call} .opblock-summary-control"))
        .await;
    browser.click(&format!("{call} .try-out__btn")).await;
    browser.click(&format!("{call} .btn.execute")).await;
    let status = browser
        .find(&format!(
            "{call} .live-responses-table tr.response .response-col_status"
        ))
        .await;
    assert!(
        status.text().await.unwrap().starts_with("200"),
        "{:?}",
        status.text().await
    );
    let response = browser
        .find(&format!("{call} .live-responses-table .highlight-code"))
        .await
        .text()
        .await
        .unwrap();
    assert!(response.contains("ada@example.com"), "{response}");
    let path = browser
        .find(&format!("{call} .opblock-summary-path"))
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(path.replace('\u{200b}', ""), "/api/user/");

    // The operations are listed, the schemas are not. A reload keeps the authorization.
    browser.client.refresh().await.unwrap();
    browser.find(".btn.authorize.locked").await;
    browser
        .find(&format!("{call} .opblock-summary-control"))
        .await;
    let schemas = browser
        .client
        .find_all(Locator::Css(".models .model-container"));
    assert!(schemas.await.unwrap().is_empty());

    let urls = browser.close().await;
    assert!(
        urls.iter().any(|url| url.ends_with("/api/user/")),
        "{urls:?}"
    );
    let foreign: Vec<_> = urls
        .iter()
        .filter(|url| !url.starts_with(&app.base))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}
