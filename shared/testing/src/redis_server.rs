//! A Redis of the test's own, to be killed, emptied and made to hang.

use std::net::TcpListener;

use crate::Process;

/// A running Redis without persistence: killed, it forgets everything.
pub struct RedisServer {
    process: Process,
    port: u16,
}

impl RedisServer {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        drop(listener);
        Self {
            process: spawn(port).await,
            port,
        }
    }

    /// For `REDIS_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it, with all it knows.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again, empty, where it was.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn restart(&mut self) {
        self.process = spawn(self.port).await;
    }

    /// Makes it hang: it holds its connections and answers nothing.
    ///
    /// # Panics
    /// When there is no `kill` command.
    pub async fn hang(&self) {
        self.process.signal("-STOP").await;
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When there is no `kill` command.
    pub async fn go_on(&self) {
        self.process.signal("-CONT").await;
    }
}

async fn spawn(port: u16) -> Process {
    let port = port.to_string();
    let arguments = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    let none: [(&str, &str); 0] = [];
    let mut process = Process::spawn("redis-server", &arguments, none);
    process.wait_for_line("Ready to accept connections").await;
    process
}
