//! What Latchkey is compared with: the one thing that each of its calls cannot do without, done by itself and as fast as
//! this machine can, with the same parameters and the same care for the data.

use std::{
    net::SocketAddr,
    num::NonZero,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use futures_util::future::try_join_all;
use latchkey_api::config::hash_cost::HashCost;
use latchkey_shared::{
    clock::Clock,
    models::password_reset::Purpose,
    outbox::template::{Code, Content, MailBranding},
    redis::one_time_code::Otp,
};
use latchkey_worker::delivery::compose::{self, Envelope};
use lettre::transport::smtp::{
    client::AsyncSmtpConnection,
    commands::{Data, Mail, Rcpt},
    extension::ClientId,
};
use poem::{
    Response, Route, Server,
    endpoint::make_sync,
    listener::{Acceptor as _, Listener as _, TcpListener},
};
use sea_orm::sqlx::{
    self, ConnectOptions as _, PgConnection, SqliteConnection,
    postgres::PgConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::Mutex;

use crate::{bare, process::Program};

/// How many connections write to PostgreSQL at once: as many as the API's pool has.
const WRITERS: usize = 20;
/// How many mails are handed over at once: as many as a worker's default.
pub(crate) const CONVERSATIONS: usize = 16;

/// How many cores may be used.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Hashes in a second at this cost, by a bare loop on every core which keeps its memory; and how many there were.
pub(crate) fn hashes(cost: HashCost, time: Duration) -> anyhow::Result<(f64, u32)> {
    let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, None)
        .map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
    let end = Instant::now() + time;
    let loops: Vec<_> = (0..cores())
        .map(|_| {
            let params = params.clone();
            thread::spawn(move || {
                let mut memory = vec![Block::default(); params.block_count()];
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                let (start, mut hash, mut count) = (Instant::now(), [0; 32], 0_u32);
                while Instant::now() < end {
                    let made = argon2.hash_password_into_with_memory(
                        b"velvet harbour lantern",
                        &[7; 16],
                        &mut hash,
                        &mut memory,
                    );
                    made.map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
                    count += 1;
                }
                // The last hash ends past the time.
                anyhow::Ok((f64::from(count) / start.elapsed().as_secs_f64(), count))
            })
        })
        .collect();
    let (mut rates, mut counts) = (0.0, 0);
    for part in loops {
        let (rate, count) = part.join().ok().context("a thread panicked")??;
        rates += rate;
        counts += count;
    }
    Ok((rates, counts))
}

/// An answer of so many bytes.
pub(crate) fn constant(body: &str) -> Response {
    Response::builder()
        .content_type("application/json")
        .body(body.to_owned())
}

/// Runs in a process of its own: poem, a route, a constant; with a database what [`bare::routes`] tells instead.
pub(crate) fn serve_constant(body: usize, database: Option<&str>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let body = "x".repeat(body);
    runtime.block_on(async {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await?;
        for address in acceptor.local_addr() {
            if let Some(address) = address.as_socket_addr() {
                println!("{address}");
            }
        }
        let server = Server::new_with_acceptor(acceptor);
        if let Some(url) = database {
            server.run(bare::routes(url, &body).await?).await?;
        } else {
            let endpoint = make_sync(move |_| constant(&body));
            server.run(Route::new().at("/", endpoint)).await?;
        }
        Ok(())
    })
}

/// The server of a constant.
pub(crate) struct Constant {
    pub(crate) address: SocketAddr,
    pub(crate) program: Program,
}

impl Constant {
    /// Starts it with answers of so many bytes, and what it asks before it answers.
    pub(crate) fn start(body: usize, work: &Path, database: Option<&str>) -> anyhow::Result<Self> {
        let log = work.join("constant.log");
        // Else the address of an earlier one would be read.
        let _ = std::fs::remove_file(&log);
        let own = std::env::current_exe()?;
        let body = body.to_string();
        let mut arguments = vec!["constant", body.as_str()];
        if let Some(database) = database {
            arguments.extend(["--database", database]);
        }
        let program = Program::start(&own, &arguments, &[], &log)?;
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let said = std::fs::read_to_string(&log)?;
            if let Some(address) = said.strip_suffix('\n') {
                let address = address.parse().context("an address")?;
                return Ok(Self { address, program });
            }
            anyhow::ensure!(Instant::now() < patience, "the constant is not served");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// One statement, with the number of a row in it.
pub(crate) enum Statement {
    /// Changes a row that is found by its key.
    Update(u64),
    /// Adds an account.
    InsertUser,
    /// Adds a password reset.
    InsertReset,
}

impl Statement {
    fn sql(&self) -> &'static str {
        match self {
            Self::Update(_) => "UPDATE users SET username = $2 WHERE id = $1",
            Self::InsertUser => {
                "INSERT INTO users (email, email_key, username, password_hash, is_activated, is_active, is_staff, \
                 is_superuser, created_at) VALUES ($1, $1, $1, 'none', true, true, false, false, CURRENT_TIMESTAMP)"
            }
            Self::InsertReset => {
                "INSERT INTO password_resets (id, email_key, token_hash, created_at, expires_at, tries) \
                 VALUES ($1, $2, $2, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, 0)"
            }
        }
    }
}

/// A database like Latchkey's, with one connection (SQLite has one writer) or as many as the API may have.
pub(crate) enum Writer {
    Sqlite(Mutex<SqliteConnection>),
    Postgres(Vec<Mutex<PgConnection>>),
}

impl Writer {
    /// Connects with the durability that Latchkey has.
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        if url.starts_with("sqlite") {
            let options: SqliteConnectOptions = url.parse()?;
            let options = options
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true);
            return Ok(Self::Sqlite(Mutex::new(options.connect().await?)));
        }
        let options: PgConnectOptions = url.parse()?;
        let mut connections = Vec::new();
        for _ in 0..WRITERS {
            connections.push(Mutex::new(options.connect().await?));
        }
        Ok(Self::Postgres(connections))
    }

    async fn execute(&self, statement: &Statement, number: u64, task: usize) -> anyhow::Result<()> {
        let text = format!("limit {number}");
        macro_rules! bound {
            () => {{
                let query = sqlx::query(statement.sql());
                let query = match statement {
                    Statement::Update(rows) => query.bind((number % rows + 1).cast_signed()),
                    Statement::InsertUser => query,
                    Statement::InsertReset => query.bind(uuid::Uuid::now_v7()),
                };
                query.bind(text)
            }};
        }
        match self {
            Self::Sqlite(connection) => {
                let mut connection = connection.lock().await;
                bound!().execute(&mut *connection).await?;
            }
            Self::Postgres(connections) => {
                let mut connection = connections[task % connections.len()].lock().await;
                bound!().execute(&mut *connection).await?;
            }
        }
        Ok(())
    }

    /// Commits of one statement in a second, each followed by a push to Redis if there is one.
    pub(crate) async fn commits(
        &self,
        statement: &Statement,
        redis: Option<&redis::aio::ConnectionManager>,
        next: &AtomicU64,
        time: Duration,
    ) -> anyhow::Result<f64> {
        let end = Instant::now() + time;
        let tasks = (0..WRITERS).map(|task| async move {
            let mut count = 0_u32;
            let mut redis = redis.cloned();
            while Instant::now() < end {
                let number = next.fetch_add(1, Ordering::Relaxed);
                self.execute(statement, number, task).await?;
                if let Some(redis) = &mut redis {
                    let mut push = redis::cmd("LPUSH");
                    push.arg("latchkey-bench:limit").arg(number);
                    let _: u64 = push.query_async(redis).await?;
                }
                count += 1;
            }
            anyhow::Ok(count)
        });
        let start = Instant::now();
        let count: u32 = try_join_all(tasks).await?.into_iter().sum();
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    }
}

/// Mails in a second by lettre alone: written as the worker writes them, sent over connections that are kept.
pub(crate) async fn mails(sink: SocketAddr, count: usize) -> anyhow::Result<f64> {
    let left = Arc::new(AtomicU64::new(count as u64));
    let start = Instant::now();
    let mut conversations = Vec::new();
    for _ in 0..CONVERSATIONS {
        let left = Arc::clone(&left);
        conversations.push(tokio::spawn(async move {
            let one_less = |left: u64| left.checked_sub(1);
            let mut conversation = Conversation::open(sink).await?;
            while let Ok(number) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            {
                conversation.send(&format!("u{number}")).await?;
            }
            conversation.close().await
        }));
    }
    for conversation in conversations {
        conversation.await??;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// A connection to the SMTP server, over which one mail goes after another.
pub(crate) struct Conversation {
    connection: AsyncSmtpConnection,
    head: MailBranding,
}

impl Conversation {
    pub(crate) async fn open(sink: SocketAddr) -> anyhow::Result<Self> {
        let patience = Some(Duration::from_secs(30));
        let name = ClientId::default();
        Ok(Self {
            connection: AsyncSmtpConnection::connect_tokio1(sink, patience, &name, None, None)
                .await?,
            head: MailBranding {
                product: "Latchkey".to_owned(),
                support: None,
                url: "http://127.0.0.1".to_owned(),
            },
        })
    }

    /// Writes a code's mail to somebody and sends it.
    pub(crate) async fn send(&mut self, to: &str) -> anyhow::Result<()> {
        let content = Content::Code {
            purpose: Purpose::Reset,
            code: Code::Shown(Otp::generate(6)),
            lifetime: chrono::TimeDelta::minutes(5),
        };
        let envelope = Envelope {
            from: "Latchkey <no-reply@localhost>".parse()?,
            to: format!("{to}@example.com").parse()?,
            message_id: &format!("{}@localhost", uuid::Uuid::now_v7()),
            date: Clock::system().now(),
        };
        let message = compose::message(&content, &self.head, envelope)?;
        let (envelope, mut wire) = (message.envelope(), String::from_utf8(message.formatted())?);
        // In one piece: a second small write would wait 40 ms for the acknowledgement of the first.
        wire.push_str(".\r\n");
        let sender = Mail::new(envelope.from().cloned(), Vec::new());
        self.connection.command(sender).await?;
        for recipient in envelope.to() {
            let recipient = Rcpt::new(recipient.clone(), Vec::new());
            self.connection.command(recipient).await?;
        }
        self.connection.command(Data).await?;
        self.connection.command(wire).await?;
        Ok(())
    }

    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.connection.quit().await?;
        Ok(())
    }
}
