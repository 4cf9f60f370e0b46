//! `latchkey-api serve` as a process of its own.

use latchkey_testing::Process;

use crate::support::test_app::TestApp;

impl TestApp {
    /// Changes a setting of the processes that are started from now on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.variables.insert(key.to_owned(), value.to_owned());
    }

    /// Starts the server on a free port. From now on, requests go there.
    pub(crate) async fn serve(&mut self) -> Process {
        self.set("BIND", "127.0.0.1:0");
        let process = self.process(&["serve"]);
        self.send_to(process).await
    }

    /// Waits until a server process listens. From now on, requests go there.
    pub(crate) async fn send_to(&mut self, mut process: Process) -> Process {
        self.base = process.wait_for_url("Listening on").await;
        process
    }

    /// Returns the IP address and port of the server.
    pub(crate) fn address(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }
}
