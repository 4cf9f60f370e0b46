//! Swagger UI in a real browser, and how it is served.

use std::io::Read as _;

use fantoccini::Locator;
use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::json;

use crate::support::{browser::Browser, test_app::TestApp};

/// Swagger UI and the documents are sent compressed, and only once to a browser that keeps them.
#[tokio::test]
async fn documents_are_compressed_and_revalidated() {
    let app = TestApp::new().await;
    for path in [
        "/docs",
        "/docs/swagger-ui.js",
        "/openapi.json",
        "/openapi.yaml",
    ] {
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

/// The policy of Swagger UI allows the scripts of this server, and of those in the page its own alone.
#[tokio::test]
async fn swagger_ui_policy_names_its_scripts() {
    let app = TestApp::new().await;
    let answer = app.send(app.request(Method::GET, "/docs")).await;
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    let scripts = policy.split(';').find(|part| part.contains("script-src"));
    let scripts = scripts.unwrap();
    assert_eq!(scripts.matches("'sha256-").count(), 1, "{scripts}");
    assert!(!scripts.contains("unsafe"), "{scripts}");
}

/// Enters an access token.
async fn authorize(browser: &Browser, access: &str) {
    browser.click(".btn.authorize").await;
    let input = browser.find(".modal-ux input").await;
    input.send_keys(access).await.unwrap();
    browser
        .click(".modal-ux .btn.modal-btn.auth.authorize")
        .await;
    browser.click(".modal-ux .btn-done").await;
}

/// A form of Swagger UI starts with the examples of the document, and can be sent as it is. Other fields start empty.
#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_form_starts_with_examples() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let browser = Browser::start().await;
    browser
        .client
        .goto(&format!("{}/docs", app.base))
        .await
        .unwrap();
    authorize(&browser, &tokens.access).await;

    let call = "#operations-Account-changeUser";
    browser
        .click(&format!("{call} .opblock-summary-control"))
        .await;
    browser.click(&format!("{call} .try-out__btn")).await;
    let media_type = browser
        .find(&format!("{call} .body-param-content-type select"))
        .await;
    media_type
        .select_by_value("multipart/form-data")
        .await
        .unwrap();
    for (field, value) in [("email", ""), ("username", "Countess of Lovelace")] {
        let css = format!("{call} [data-property-name={field}] input:not([type=checkbox])");
        let shown = browser.find(&css).await.prop("value").await.unwrap();
        assert_eq!(shown.as_deref(), Some(value), "{field}");
    }
    let picture = format!("{call} [data-property-name=image] input[type=file]");
    browser.find(&picture).await;
    browser.click(&format!("{call} .btn.execute")).await;
    let status = browser
        .find(&format!(
            "{call} .live-responses-table tr.response .response-col_status"
        ))
        .await
        .text()
        .await
        .unwrap();
    assert!(status.starts_with("200"), "{status}");
    browser.close().await;

    let user = app.get_user(&tokens.access).await;
    assert_eq!(user.text("/email"), "ada@example.com");
    assert_eq!(user.text("/username"), "Countess of Lovelace");
}

/// Swagger UI fits a phone: nothing is wider than the screen, and fields and buttons have names for screen readers.
#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_fits_a_phone() {
    let app = TestApp::new().await;
    let screen = json!({"width": 390, "height": 844, "pixelRatio": 1.0});
    let browser = Browser::with(json!({"mobileEmulation": {"deviceMetrics": screen}})).await;
    browser
        .client
        .goto(&format!("{}/docs", app.base))
        .await
        .unwrap();
    // A phone shows the tags first.
    browser.click("#operations-tag-Account button").await;
    let call = "#operations-Account-register";
    browser
        .click(&format!("{call} .opblock-summary-control"))
        .await;
    browser.click(&format!("{call} .try-out__btn")).await;
    browser
        .find(&format!("{call} .body-param-content-type select"))
        .await
        .select_by_value("multipart/form-data")
        .await
        .unwrap();
    browser
        .find(&format!(
            "{call} [data-property-name=image] [aria-label=image]"
        ))
        .await;
    let run = async |script: &str| browser.client.execute(script, Vec::new()).await.unwrap();
    assert_eq!(run("return innerWidth").await, 390);
    let width = run("return document.documentElement.scrollWidth").await;
    assert_eq!(width, 390);
    let nameless = "return document.querySelectorAll('#ui :is(input, select, textarea):not([aria-label])').length";
    assert_eq!(run(nameless).await, 0);
    browser.close().await;
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
    authorize(&browser, &tokens.access).await;
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
