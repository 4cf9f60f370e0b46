//! The limits: the one step that each operation cannot avoid, measured alone, with the same parameters and the same
//! durability.

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
    models::mail::MailKind,
    outbox::template::{Code, Content, MailBranding, MailTemplates},
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

use crate::{
    baseline,
    installation::Running,
    measure::{Sample, milliseconds},
    process::{self, Program},
    seed::PASSWORD,
};

/// The number of concurrent connections to PostgreSQL, as in the API's pool.
const WRITERS: usize = 20;
/// The number of concurrent SMTP connections, as by default in the worker.
pub(crate) const SMTP_CONNECTIONS: usize = 16;

/// Returns the number of cores that this program may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Measures hashes per second by a loop on every core that reuses its memory.
pub(crate) fn hashes(cost: HashCost, time: Duration) -> anyhow::Result<Sample> {
    let cpu_before = process::own_cpu_time()?;
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
                    let result = argon2.hash_password_into_with_memory(
                        PASSWORD.as_bytes(),
                        &[7; 16],
                        &mut hash,
                        &mut memory,
                    );
                    result.map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
                    count += 1;
                }
                // The last hash ends after `end`.
                anyhow::Ok((f64::from(count) / start.elapsed().as_secs_f64(), count))
            })
        })
        .collect();
    let (mut rate, mut count) = (0.0, 0);
    for part in loops {
        let part = part.join().ok().context("a hashing thread panicked")??;
        rate += part.0;
        count += part.1;
    }
    let spent = process::own_cpu_time()?.saturating_sub(cpu_before);
    Ok(Sample {
        value: rate,
        cpu_time: Some(milliseconds(spent) / f64::from(count)),
    })
}

/// Returns a response with this body.
pub(crate) fn constant(body: &str) -> Response {
    Response::builder()
        .content_type("application/json")
        .body(body.to_owned())
}

/// Serves a constant from poem with one route, or [`baseline::routes`] if there is a database. Prints its address. Runs in
/// its own process.
pub(crate) fn serve_constant(body_bytes: usize, database: Option<&str>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let body = "x".repeat(body_bytes);
    runtime.block_on(async {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await?;
        for address in acceptor.local_addr() {
            if let Some(address) = address.as_socket_addr() {
                println!("{address}");
            }
        }
        let server = Server::new_with_acceptor(acceptor);
        if let Some(url) = database {
            server.run(baseline::routes(url, &body).await?).await?;
        } else {
            let endpoint = make_sync(move |_| constant(&body));
            server.run(Route::new().at("/", endpoint)).await?;
        }
        Ok(())
    })
}

/// Starts a process that runs [`serve_constant`].
pub(crate) fn start_constant(
    body_bytes: usize,
    work: &Path,
    database: Option<&str>,
) -> anyhow::Result<Running> {
    let log = work.join("constant.log");
    // Otherwise the address of an earlier process could be read.
    let _ = std::fs::remove_file(&log);
    let executable = std::env::current_exe()?;
    let body_bytes = body_bytes.to_string();
    let mut arguments = vec!["constant", body_bytes.as_str()];
    if let Some(database) = database {
        arguments.extend(["--database", database]);
    }
    let program = Program::start(&executable, &arguments, &[], &log)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let output = std::fs::read_to_string(&log)?;
        if let Some(address) = output.strip_suffix('\n') {
            let address = address.parse();
            let address = address.with_context(|| format!("not an address: {output}"))?;
            return Ok(Running { program, address });
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the constant's server did not start within 30 seconds"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// The statement of each commit.
pub(crate) enum Statement {
    /// Updates one of this many accounts by id.
    Update(u64),
    InsertUser,
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

/// Connections to a database with Latchkey's schema: one to SQLite, which has a single writer, or [`WRITERS`].
pub(crate) enum Writer {
    Sqlite(Mutex<SqliteConnection>),
    Postgres(Vec<Mutex<PgConnection>>),
}

impl Writer {
    /// Connects with Latchkey's durability.
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
        macro_rules! bind {
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
                bind!().execute(&mut *connection).await?;
            }
            Self::Postgres(connections) => {
                let mut connection = connections[task % connections.len()].lock().await;
                bind!().execute(&mut *connection).await?;
            }
        }
        Ok(())
    }

    /// Measures commits of one statement per second, each followed by a push to Redis if there is a connection.
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

/// Measures mails per second by lettre alone, composed as by the worker and sent over open connections.
pub(crate) async fn mails(sink: SocketAddr, count: usize) -> anyhow::Result<f64> {
    let remaining = Arc::new(AtomicU64::new(count as u64));
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..SMTP_CONNECTIONS {
        let remaining = Arc::clone(&remaining);
        tasks.push(tokio::spawn(async move {
            let decrement = |remaining: u64| remaining.checked_sub(1);
            let mut connection = SmtpConnection::open(sink).await?;
            while let Ok(number) =
                remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrement)
            {
                connection.send(&format!("u{number}")).await?;
            }
            connection.close().await
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// An open connection to the SMTP server.
pub(crate) struct SmtpConnection {
    connection: AsyncSmtpConnection,
    branding: MailBranding,
    templates: MailTemplates,
}

impl SmtpConnection {
    pub(crate) async fn open(sink: SocketAddr) -> anyhow::Result<Self> {
        let timeout = Some(Duration::from_secs(30));
        let name = ClientId::default();
        Ok(Self {
            connection: AsyncSmtpConnection::connect_tokio1(sink, timeout, &name, None, None)
                .await?,
            branding: MailBranding::new("Latchkey"),
            templates: MailTemplates::load(None)?,
        })
    }

    /// Composes and sends a mail with a one-time code.
    pub(crate) async fn send(&mut self, to: &str) -> anyhow::Result<()> {
        let content = Content::Code {
            kind: MailKind::ResetCode,
            at: Clock::system().now(),
            device: None,
            code: Code::Shown(Otp::generate(6)),
            lifetime: chrono::TimeDelta::minutes(5),
        };
        let rendered = self.templates.render(&content, &self.branding, None)?;
        let envelope = Envelope {
            from: "Latchkey <no-reply@localhost>".parse()?,
            to: format!("{to}@example.com").parse()?,
            message_id: &format!("{}@localhost", uuid::Uuid::now_v7()),
            date: Clock::system().now(),
        };
        let message = compose::message(rendered, envelope)?;
        let (envelope, mut data) = (message.envelope(), String::from_utf8(message.formatted())?);
        // One write: a second small one would wait up to 40 ms for the first's acknowledgement (delayed ACK).
        data.push_str(".\r\n");
        let sender = Mail::new(envelope.from().cloned(), Vec::new());
        self.connection.command(sender).await?;
        for recipient in envelope.to() {
            let recipient = Rcpt::new(recipient.clone(), Vec::new());
            self.connection.command(recipient).await?;
        }
        self.connection.command(Data).await?;
        self.connection.command(data).await?;
        Ok(())
    }

    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.connection.quit().await?;
        Ok(())
    }
}
