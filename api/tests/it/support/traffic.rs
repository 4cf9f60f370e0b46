//! A client that uses two servers of an installation without a pause.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use jsonwebtoken::decode_header;
use latchkey_testing::wait_until;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::test_app::TestApp;

/// The client. Each round refreshes at both servers and uses both access tokens at both.
pub(crate) struct Traffic {
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    http: reqwest::Client,
    refresh: String,
    servers: Mutex<[String; 2]>,
    /// The key ids of the last access token of each server.
    kids: Mutex<[Option<String>; 2]>,
    rounds: AtomicU64,
    failures: Mutex<Vec<String>>,
    is_stopping: AtomicBool,
}

impl Traffic {
    pub(crate) fn start(app: &TestApp, servers: [String; 2], refresh: &str) -> Self {
        let state = Arc::new(State {
            http: app.http.clone(),
            refresh: refresh.to_owned(),
            servers: Mutex::new(servers),
            kids: Mutex::default(),
            rounds: AtomicU64::new(0),
            failures: Mutex::default(),
            is_stopping: AtomicBool::new(false),
        });
        let client = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while !client.is_stopping.load(Ordering::SeqCst) {
                client.round().await;
                client.rounds.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { state, task }
    }

    /// Waits until this number of rounds began and ended.
    pub(crate) async fn wait_for_rounds(&self, count: u64) {
        let rounds = || self.state.rounds.load(Ordering::SeqCst);
        // The current round began before.
        let expected = rounds() + count + 1;
        wait_until(async || rounds() >= expected).await;
    }

    /// Uses another server. Returns when the client no longer uses the previous one.
    pub(crate) async fn replace(&self, index: usize, url: &str) {
        url.clone_into(&mut self.state.servers.lock().unwrap()[index]);
        self.wait_for_rounds(0).await;
    }

    /// The key ids of the last access token of each server.
    pub(crate) fn kids(&self) -> [Option<String>; 2] {
        self.state.kids.lock().unwrap().clone()
    }

    /// Stops the client. Returns the failed requests.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.state.is_stopping.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        std::mem::take(&mut self.state.failures.lock().unwrap())
    }
}

impl State {
    async fn round(&self) {
        let servers = self.servers.lock().unwrap().clone();
        for (index, server) in servers.iter().enumerate() {
            let body = json!({"refresh": self.refresh});
            let request = self
                .http
                .post(format!("{server}/auth/refresh/"))
                .json(&body);
            let Some(answer) = self.send(request).await else {
                continue;
            };
            let access = answer["access"].as_str().unwrap().to_owned();
            self.kids.lock().unwrap()[index] = decode_header(&access).unwrap().kid;
            for server in &servers {
                let request = self.http.get(format!("{server}/api/user/"));
                self.send(request.bearer_auth(&access)).await;
            }
        }
    }

    /// Returns the body of a successful response, and records any other.
    async fn send(&self, request: reqwest::RequestBuilder) -> Option<Value> {
        let failure = match request.send().await {
            Ok(response) if response.status() == 200 => return response.json().await.ok(),
            Ok(response) => format!("{response:?}"),
            Err(error) => error.to_string(),
        };
        self.failures.lock().unwrap().push(failure);
        None
    }
}
