//! A Redis server for one test, which can kill it, pause it or let it refuse commands.

use std::net::TcpListener;

use redis::{Client, aio::MultiplexedConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{Process, wait_for};

/// The password of [`RedisRefusal::Password`].
const PASSWORD: &str = "velvet-secret";

/// The reason why a running Redis refuses commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisRefusal {
    /// READONLY: it is a replica.
    Replica,
    /// OOM: `maxmemory` is reached, and no key may be evicted.
    Full,
    /// MISCONF: its last save failed.
    CannotPersist,
    /// NOAUTH: it requires a password, and has closed all connections.
    Password,
    /// NOPERM: this ACL rule, such as `-zadd`, forbids commands.
    Forbidden(&'static str),
    /// It has closed all connections and accepts no client.
    TooManyClients,
    /// LOADING: it has restarted and loads its data, which takes minutes.
    Loading,
}

/// The number of keys that [`RedisRefusal::Loading`] loads.
const LOADED_KEYS: &str = "10000";

/// The time to load a key, in microseconds.
const KEY_LOAD_DELAY: &str = "20000";

/// A running Redis without persistence. It is killed when dropped.
pub struct RedisServer {
    process: Mutex<Process>,
    port: u16,
    /// The directory of the data that [`RedisRefusal::Loading`] loads.
    data: TempDir,
    /// The connection that remains during [`RedisRefusal::TooManyClients`].
    only_client: Mutex<Option<MultiplexedConnection>>,
}

impl RedisServer {
    /// Starts a server on a free port.
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

    /// Returns the value for `REDIS_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts a refusal.
    pub async fn refuse(&self, refusal: RedisRefusal) {
        match refusal {
            // No primary listens on the discard port.
            RedisRefusal::Replica => self.command(&["REPLICAOF", "127.0.0.1", "9"]).await,
            RedisRefusal::Full => self.set("maxmemory", "1").await,
            RedisRefusal::CannotPersist => {
                self.set("save", "3600 1000000").await;
                self.set("dir", "/proc").await;
                self.command(&["BGSAVE"]).await;
                self.wait_for_save("err").await;
            }
            RedisRefusal::Password => {
                self.set("requirepass", PASSWORD).await;
                let mut connection = self.connection(Some(PASSWORD)).await;
                run(&mut connection, &["CLIENT", "KILL", "TYPE", "normal"]).await;
            }
            RedisRefusal::Forbidden(rule) => {
                self.command(&["ACL", "SETUSER", "default", rule]).await;
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

    /// Ends a refusal.
    pub async fn accept(&self, refusal: RedisRefusal) {
        match refusal {
            RedisRefusal::Replica => self.command(&["REPLICAOF", "NO", "ONE"]).await,
            RedisRefusal::Full => self.set("maxmemory", "0").await,
            RedisRefusal::CannotPersist => {
                let process = self.process.lock().await;
                self.set("dir", process.folder().to_str().expect("UTF-8"))
                    .await;
                self.command(&["BGSAVE"]).await;
                self.wait_for_save("ok").await;
            }
            RedisRefusal::Password => {
                let mut connection = self.connection(Some(PASSWORD)).await;
                run(&mut connection, &["CONFIG", "SET", "requirepass", ""]).await;
            }
            RedisRefusal::Forbidden(_) => {
                self.command(&["ACL", "SETUSER", "default", "+@all"]).await;
            }
            RedisRefusal::TooManyClients => {
                let connection = self.only_client.lock().await.take();
                let mut connection = connection.expect("the only client");
                run(&mut connection, &["CONFIG", "SET", "maxclients", "1000"]).await;
            }
            RedisRefusal::Loading => {
                self.set("key-load-delay", "0").await;
                let mut process = self.process.lock().await;
                process.wait_for_line("Ready to accept connections").await;
            }
        }
    }

    /// Restarts the server with many keys that take a while to load. It accepts connections during that time.
    async fn restart_loading(&self) {
        let folder = self.data.path().to_str().expect("UTF-8");
        self.set("dir", folder).await;
        // While loading, Redis serves clients once per KiB of the file, so it must not be compressed.
        self.set("rdbcompression", "no").await;
        self.command(&["DEBUG", "POPULATE", LOADED_KEYS, "filler", "1024"])
            .await;
        self.command(&["SAVE"]).await;
        let mut process = self.process.lock().await;
        process.kill().await;
        let loading = [
            "--dir",
            folder,
            "--key-load-delay",
            KEY_LOAD_DELAY,
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

    async fn command(&self, words: &[&str]) {
        run(&mut self.connection(None).await, words).await;
    }

    /// Changes a setting of the server.
    async fn set(&self, key: &str, value: &str) {
        self.command(&["CONFIG", "SET", key, value]).await;
    }

    /// Waits until no save runs and the last one had this status (`ok` or `err`).
    async fn wait_for_save(&self, status: &str) {
        let mut connection = self.connection(None).await;
        let observe = async || {
            let mut info = redis::cmd("INFO");
            let info = info.arg("persistence");
            info.query_async::<String>(&mut connection)
                .await
                .expect("INFO")
        };
        let expected = format!("rdb_last_bgsave_status:{status}");
        wait_for(&expected, observe, |info| {
            info.contains(&expected) && info.contains("rdb_bgsave_in_progress:0")
        })
        .await;
    }

    /// Kills the server, which loses its data.
    pub async fn kill(&mut self) {
        self.process.get_mut().kill().await;
    }

    /// Starts an empty server on the same port.
    pub async fn restart(&mut self) {
        *self.process.get_mut() = spawn(self.port).await;
    }

    /// Pauses the server (SIGSTOP). Its connections stay open, and no command gets a reply.
    pub async fn pause(&self) {
        self.process.lock().await.signal("-STOP").await;
    }

    /// Resumes a paused server (SIGCONT).
    pub async fn resume(&self) {
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
        // Allows a change of `dir` at run time.
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
