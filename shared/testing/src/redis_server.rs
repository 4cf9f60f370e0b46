//! A Redis of the test's own, to be killed, emptied and made to hang.

use std::{net::TcpListener, time::Duration};

use redis::{Client, aio::MultiplexedConnection};
use tempfile::TempDir;
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};

use crate::{Process, WAIT_TIMEOUT};

/// The password of [`RedisRefusal::Password`].
const PASSWORD: &str = "velvet-secret";

/// Why a Redis that answers does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisRefusal {
    /// READONLY: it was demoted to a replica.
    Replica,
    /// OOM: `maxmemory` is reached and nothing may be evicted.
    Full,
    /// MISCONF: its last save failed.
    CannotPersist,
    /// NOAUTH: it wants a password, and has ended the connections that were without.
    Password,
    /// NOPERM: this rule of an access control list, such as `-zadd`, forbids commands.
    Forbidden(&'static str),
    /// It has ended all connections and accepts no further client.
    TooManyClients,
    /// LOADING: it has restarted and loads its data for some minutes.
    Loading,
}

/// The number of keys that a [`RedisRefusal::Loading`] loads, and the time for each in microseconds.
const LOADED_KEYS: [&str; 2] = ["10000", "20000"];

/// A running Redis without persistence: killed, it forgets everything.
pub struct RedisServer {
    process: Mutex<Process>,
    port: u16,
    /// The folder of the data that [`RedisRefusal::Loading`] loads.
    data: TempDir,
    /// The connection that [`RedisRefusal::TooManyClients`] keeps.
    only_client: Mutex<Option<MultiplexedConnection>>,
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
            process: Mutex::new(spawn(port).await),
            port,
            data: tempfile::tempdir().expect("a temporary folder"),
            only_client: Mutex::new(None),
        }
    }

    /// For `REDIS_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Makes it refuse writes.
    ///
    /// # Panics
    /// When it does not take the commands.
    pub async fn refuse(&self, refusal: RedisRefusal) {
        match refusal {
            // The primary of the discard port: there is none.
            RedisRefusal::Replica => self.command(None, &["REPLICAOF", "127.0.0.1", "9"]).await,
            RedisRefusal::Full => {
                self.command(None, &["CONFIG", "SET", "maxmemory", "1"])
                    .await;
            }
            RedisRefusal::CannotPersist => {
                self.command(None, &["CONFIG", "SET", "save", "3600 1000000"])
                    .await;
                self.command(None, &["CONFIG", "SET", "dir", "/proc"]).await;
                self.command(None, &["BGSAVE"]).await;
                self.wait_for_save("err").await;
            }
            RedisRefusal::Password => {
                self.command(None, &["CONFIG", "SET", "requirepass", PASSWORD])
                    .await;
                self.command(Some(PASSWORD), &["CLIENT", "KILL", "TYPE", "normal"])
                    .await;
            }
            RedisRefusal::Forbidden(rule) => {
                self.command(None, &["ACL", "SETUSER", "default", rule])
                    .await;
            }
            RedisRefusal::TooManyClients => {
                let mut connection = self.connection(None).await;
                run(&mut connection, &["CONFIG", "SET", "maxclients", "1"]).await;
                run(&mut connection, &["CLIENT", "KILL", "TYPE", "normal"]).await;
                *self.only_client.lock().await = Some(connection);
            }
            RedisRefusal::Loading => self.restart_loading().await,
        }
    }

    /// Lets it accept writes again.
    ///
    /// # Panics
    /// When it does not take the commands.
    pub async fn accept(&self, refusal: RedisRefusal) {
        match refusal {
            RedisRefusal::Replica => self.command(None, &["REPLICAOF", "NO", "ONE"]).await,
            RedisRefusal::Full => {
                self.command(None, &["CONFIG", "SET", "maxmemory", "0"])
                    .await;
            }
            RedisRefusal::CannotPersist => {
                let process = self.process.lock().await;
                let folder = process.folder().to_str().expect("UTF-8");
                self.command(None, &["CONFIG", "SET", "dir", folder]).await;
                self.command(None, &["BGSAVE"]).await;
                self.wait_for_save("ok").await;
            }
            RedisRefusal::Password => {
                self.command(Some(PASSWORD), &["CONFIG", "SET", "requirepass", ""])
                    .await;
            }
            RedisRefusal::Forbidden(_) => {
                self.command(None, &["ACL", "SETUSER", "default", "+@all"])
                    .await;
            }
            RedisRefusal::TooManyClients => {
                let connection = self.only_client.lock().await.take();
                let mut connection = connection.expect("the only client");
                run(&mut connection, &["CONFIG", "SET", "maxclients", "1000"]).await;
            }
            RedisRefusal::Loading => {
                self.command(None, &["CONFIG", "SET", "key-load-delay", "0"])
                    .await;
                let mut process = self.process.lock().await;
                process.wait_for_line("Ready to accept connections").await;
            }
        }
    }

    /// Restarts it with many keys, each of which takes a while to load. It answers connections meanwhile.
    async fn restart_loading(&self) {
        let [keys, delay] = LOADED_KEYS;
        let folder = self.data.path().to_str().expect("UTF-8");
        self.command(None, &["CONFIG", "SET", "dir", folder]).await;
        // Redis answers once for each KiB that it has read.
        self.command(None, &["CONFIG", "SET", "rdbcompression", "no"])
            .await;
        self.command(None, &["DEBUG", "POPULATE", keys, "filler", "1024"])
            .await;
        self.command(None, &["SAVE"]).await;
        let mut process = self.process.lock().await;
        process.kill().await;
        let loading = [
            "--dir",
            folder,
            "--key-load-delay",
            delay,
            "--loading-process-events-interval-bytes",
            "1024",
        ];
        *process = spawn_with(self.port, &loading);
        process.wait_for_line("Loading RDB produced by").await;
    }

    async fn connection(&self, password: Option<&str>) -> MultiplexedConnection {
        let login = password.map_or_else(String::new, |password| format!(":{password}@"));
        let client = Client::open(format!("redis://{login}127.0.0.1:{}", self.port));
        let client = client.expect("a URL");
        let connection = client.get_multiplexed_async_connection().await;
        connection.expect("a connection")
    }

    async fn command(&self, password: Option<&str>, words: &[&str]) {
        run(&mut self.connection(password).await, words).await;
    }

    /// Waits until the last save has ended this way.
    async fn wait_for_save(&self, status: &str) {
        let mut connection = self.connection(None).await;
        let saved = async {
            loop {
                let info: String = redis::cmd("INFO")
                    .arg("persistence")
                    .query_async(&mut connection)
                    .await
                    .expect("INFO");
                if info.contains(&format!("rdb_last_bgsave_status:{status}"))
                    && info.contains("rdb_bgsave_in_progress:0")
                {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(WAIT_TIMEOUT, saved)
            .await
            .expect("the end of a save");
    }

    /// Kills it, with all it knows.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.process.get_mut().kill().await;
    }

    /// Starts it again, empty, where it was.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn restart(&mut self) {
        *self.process.get_mut() = spawn(self.port).await;
    }

    /// Makes it hang: it holds its connections and answers nothing.
    ///
    /// # Panics
    /// When there is no `kill` command.
    pub async fn hang(&self) {
        self.process.lock().await.signal("-STOP").await;
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When there is no `kill` command.
    pub async fn go_on(&self) {
        self.process.lock().await.signal("-CONT").await;
    }
}

async fn spawn(port: u16) -> Process {
    let mut process = spawn_with(port, &[]);
    process.wait_for_line("Ready to accept connections").await;
    process
}

fn spawn_with(port: u16, more: &[&str]) -> Process {
    let port = port.to_string();
    let mut arguments = vec![
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        // So that a test can change the folder of saves.
        "--enable-protected-configs",
        "yes",
        "--enable-debug-command",
        "yes",
    ];
    arguments.extend(more);
    let none: [(&str, &str); 0] = [];
    Process::spawn("redis-server", &arguments, none)
}

async fn run(connection: &mut MultiplexedConnection, words: &[&str]) {
    let (name, arguments) = words.split_first().expect("a command");
    let answer = redis::cmd(name)
        .arg(arguments)
        .query_async::<redis::Value>(connection)
        .await;
    answer.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}
