//! A real browser without access to other machines.

use std::{fs, time::Duration};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use hyper_util::client::legacy::connect::HttpConnector;
use latchkey_testing::{WAIT_TIMEOUT, variable};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Chromium, driven by `ChromeDriver`.
pub(crate) struct Browser {
    pub(crate) client: Client,
    /// The browser's profile and its network log.
    folder: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// Starts a browser with more `goog:chromeOptions`, also with more `args`.
    pub(crate) async fn with(mut options: Value) -> Self {
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
            // The browser itself reaches no other machine.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--window-size=1280,1600",
            &profile,
            &traffic,
        ];
        let mut arguments = arguments.map(Value::from).to_vec();
        arguments.extend(options["args"].as_array().cloned().unwrap_or_default());
        options["args"] = json!(arguments);
        if let Some(binary) = variable("TEST_CHROMIUM") {
            options["binary"] = json!(binary);
        }
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
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

    /// Waits for an element.
    pub(crate) async fn find(&self, css: &str) -> Element {
        self.client
            .wait()
            .at_most(WAIT_TIMEOUT)
            .every(Duration::from_millis(50))
            .for_element(Locator::Css(css))
            .await
            .unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Closes the browser and returns the URLs that its pages requested. Requests of the browser itself have no origin.
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
