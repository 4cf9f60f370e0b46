//! Swagger UI in a real browser.

use crate::support::{browser::Browser, test_app::TestApp};

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
