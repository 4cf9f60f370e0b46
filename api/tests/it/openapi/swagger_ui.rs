//! Swagger UI in a real browser: somebody explores the API there, and nothing leaves the machine.

use std::{fs, time::Duration};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use latchkey_testing::{PATIENCE, variable};
use serde_json::json;
use tempfile::TempDir;

use crate::support::test_app::TestApp;

pub(crate) struct Browser {
    pub(crate) client: Client,
    /// Its profile, and the log of all its traffic.
    folder: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// With more of Chrome's options.
    pub(crate) async fn with(options: serde_json::Value) -> Self {
        let driver = variable("TEST_CHROMEDRIVER_URL")
            .expect("TEST_CHROMEDRIVER_URL is not set: run deploy/test");
        let folder = tempfile::tempdir().unwrap();
        let profile = format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        );
        let traffic = format!(
            "--log-net-log={}",
            folder.path().join("traffic.json").display()
        );
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-sync",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            // The browser's own errands end here.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--window-size=1280,1600",
            &profile,
            &traffic,
        ];
        let mut chrome = options;
        chrome["args"] = json!(arguments);
        if let Some(binary) = variable("TEST_CHROMIUM") {
            chrome["binary"] = json!(binary);
        }
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), chrome);
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&driver)
            .await
            .unwrap();
        Self { client, folder }
    }

    pub(crate) async fn click(&self, css: &str) {
        self.find(css)
            .await
            .click()
            .await
            .unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    pub(crate) async fn find(&self, css: &str) -> fantoccini::elements::Element {
        self.client
            .wait()
            .at_most(PATIENCE)
            .every(Duration::from_millis(50))
            .for_element(Locator::Css(css))
            .await
            .unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Ends the browser; every URL that its pages asked for. What the browser asks for itself has no origin.
    pub(crate) async fn close(self) -> Vec<String> {
        self.client.close().await.unwrap();
        let traffic = fs::read_to_string(self.folder.path().join("traffic.json")).unwrap();
        traffic
            .lines()
            .filter(|event| {
                event.contains("\"initiator\":\"")
                    && !event.contains("\"initiator\":\"not an origin\"")
            })
            .filter_map(|event| event.split("\"url\":\"").nth(1)?.split('"').next())
            .map(str::to_owned)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_authorizes_and_tries_a_call_and_asks_nobody_else() {
    let app = TestApp::new().await;
    let tokens = app.logged_in_user("ada@example.com").await;
    let browser = Browser::start().await;

    browser
        .client
        .goto(&format!("{}/docs", app.base))
        .await
        .unwrap();
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
    let answer = browser
        .find(&format!("{call} .live-responses-table .highlight-code"))
        .await
        .text()
        .await
        .unwrap();
    assert!(answer.contains("ada@example.com"), "{answer}");
    let path = browser
        .find(&format!("{call} .opblock-summary-path"))
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(path.replace('\u{200b}', ""), "/api/user/");

    let asked = browser.close().await;
    assert!(
        asked.iter().any(|url| url.ends_with("/api/user/")),
        "{asked:?}"
    );
    let elsewhere: Vec<_> = asked
        .iter()
        .filter(|url| !url.starts_with(&app.base))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}
