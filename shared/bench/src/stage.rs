//! What is measured, set up: a database with accounts, and the programs on it.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use chrono::TimeDelta;
use latchkey_api::{
    auth::jwt::{TokenId, TokenIssuer},
    config::hash_cost::HashCost,
};
use latchkey_shared::{clock::Clock, crypto::secret_key::SecretKey, database, models::session};
use sea_orm::ConnectionTrait as _;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{cli::Options, load, process::Program, sink::Sink};

/// The password of every account.
pub(crate) const PASSWORD: &str = "velvet harbour lantern";
/// How many accounts are logged in.
pub(crate) const SIGNED_IN: u64 = 1_000;
/// How long tokens live: longer than a run.
const LIFETIME: TimeDelta = TimeDelta::days(1);

/// What all measurements share.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) runtime: Runtime,
    pub(crate) sink: Sink,
    secret: String,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(options: &'a Options) -> anyhow::Result<Self> {
        Ok(Self {
            options,
            runtime: Runtime::new()?,
            sink: Sink::start()?,
            secret: Uuid::now_v7().to_string(),
        })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.options.programs.join(name)
    }
}

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// One installation: a database of its own, a name space in Redis, accounts. All accounts have [`PASSWORD`] and are
/// called `u1@example.com` and so on.
pub(crate) struct Stage<'a> {
    pub(crate) bench: &'a Bench<'a>,
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) accounts: u64,
    /// The first accounts' sessions.
    pub(crate) sessions: Arc<Vec<Session>>,
    name: String,
    folder: PathBuf,
}

/// One login.
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// A program that answers at an address.
pub(crate) struct Running {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
}

impl<'a> Stage<'a> {
    /// Makes the database with so many accounts, whose passwords were hashed at this cost.
    pub(crate) fn new(
        bench: &'a Bench<'a>,
        kind: Kind,
        accounts: u64,
        cost: HashCost,
    ) -> anyhow::Result<Self> {
        let name = format!("bench_{}", Uuid::now_v7().simple());
        let folder = bench.options.work.join(&name);
        std::fs::create_dir_all(&folder)?;
        let url = match kind {
            Kind::Sqlite => format!("sqlite://{}/latchkey.db", folder.display()),
            Kind::Postgres => {
                let server = bench.options.postgres.as_deref().context("--postgres")?;
                bench.runtime.block_on(async {
                    let db = sea_orm::Database::connect(server).await?;
                    db.execute_unprepared(&format!("CREATE DATABASE {name}"))
                        .await?;
                    anyhow::Ok(())
                })?;
                let (server, _) = server.rsplit_once('/').context("a database's URL")?;
                format!("{server}/{name}")
            }
        };
        let mut stage = Self {
            bench,
            kind,
            url,
            accounts,
            sessions: Arc::default(),
            name,
            folder,
        };
        let migrate = Program::start(
            &bench.program("latchkey-api"),
            &["migrate"],
            &stage.variables(None, &[]),
            &stage.log("migrate"),
        )?;
        migrate.finish().context("latchkey-api migrate")?;
        let sessions = bench.runtime.block_on(stage.fill(&hash(cost)?))?;
        stage.sessions = Arc::new(sessions);
        Ok(stage)
    }

    /// Accounts, a session and an audit event of each; of the first thousand accounts a session's tokens are known.
    async fn fill(&self, hash: &str) -> anyhow::Result<Vec<Session>> {
        let db = database::create(&self.url).await?;
        let last = self.accounts;
        let (numbers, id, now, later) = match self.kind {
            Kind::Sqlite => (
                format!(
                    "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT i FROM n)"
                ),
                "randomblob(16)",
                "strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now')",
                "strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now', '+9 days')",
            ),
            Kind::Postgres => (
                format!("generate_series(1, {last}) AS n(i)"),
                "gen_random_uuid()",
                "now()",
                "now() + interval '9 days'",
            ),
        };
        let statements = [
            format!(
                "INSERT INTO users (email, email_key, username, password_hash, phone_number, is_activated, is_active, \
                 is_staff, is_superuser, created_at) SELECT 'u' || i || '@example.com', 'u' || i || '@example.com', \
                 'User ' || i, '{hash}', '+201001234567', true, true, false, false, {now} FROM {numbers}"
            ),
            format!(
                "INSERT INTO sessions (id, user_id, secret_hash, user_agent, client_ip, created_at, last_used_at, expires_at) \
                 SELECT {id}, i, 'none', 'bench', '127.0.0.1', {now}, {now}, {later} FROM {numbers}"
            ),
            // Out of the chain: nobody verifies it here, and what is appended goes on from the head.
            format!(
                "INSERT INTO audit_events (seq, at, event, outcome, actor, user_id, request_id, hash) SELECT i, {now}, \
                 'authn_login_success', 'success', 'user ' || i, i, 'bench', 'none' FROM {numbers}"
            ),
            format!("UPDATE audit_head SET seq = {last}"),
        ];
        for statement in statements {
            // By the pool: a million rows take longer than a statement may.
            (*db).execute_unprepared(&statement).await?;
        }
        // PostgreSQL does so by itself after a while. SQLite does not, and Latchkey never asks it to.
        if self.kind == Kind::Postgres {
            (*db).execute_unprepared("ANALYZE").await?;
        }
        self.sign_in(&db).await
    }

    /// Sessions as a login makes them.
    async fn sign_in(&self, db: &database::Database) -> anyhow::Result<Vec<Session>> {
        let key: SecretKey = self
            .bench
            .secret
            .parse()
            .map_err(|_| anyhow::anyhow!("a key"))?;
        let (issuer, hasher) = (
            TokenIssuer::new(&key, LIFETIME, LIFETIME),
            key.token_hasher(),
        );
        let now = Clock::system().now();
        let mut sessions = Vec::new();
        let transaction = database::begin(db).await?;
        for account in 1..=self.accounts.min(SIGNED_IN) {
            let secret = TokenId::generate();
            let row = session::Model {
                id: Uuid::now_v7(),
                user_id: account.cast_signed(),
                secret_hash: hasher.hash(secret.expose()),
                user_agent: Some("bench".to_owned()),
                client_ip: Some("127.0.0.1".to_owned()),
                created_at: now,
                last_used_at: now,
                expires_at: issuer.session_end(now),
                previous_hash: None,
                rotated_at: None,
                revoked_at: None,
            };
            let access = issuer.access(row.user_id, row.id, now);
            let refresh = issuer.refresh(&row, &secret, now);
            sessions.push(Session {
                id: row.id,
                access: access.expose().to_owned(),
                refresh: refresh.expose().to_owned(),
            });
            session::insert(&transaction, row).await?;
        }
        // The first of them sees the lists of administrators.
        transaction
            .execute_unprepared(
                "UPDATE users SET is_staff = TRUE, is_superuser = TRUE WHERE id = 1",
            )
            .await?;
        transaction.commit().await?;
        Ok(sessions)
    }

    fn log(&self, program: &str) -> PathBuf {
        self.folder.join(format!("{program}.log"))
    }

    /// As an operator would set it, but for the limits of how often somebody may try.
    fn variables(&self, bind: Option<SocketAddr>, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let options = self.bench.options;
        let bind = bind.map_or(String::new(), |bind| bind.to_string());
        let smtp = format!("smtp://{}?tls=none", self.bench.sink.address);
        let media = self.folder.join("media").display().to_string();
        let lifetime = LIFETIME.num_seconds().to_string();
        let mut variables = vec![
            ("DATABASE_URL", self.url.as_str()),
            ("REDIS_URL", &options.redis),
            ("REDIS_NAMESPACE", &self.name),
            ("SECRET_KEY", &self.bench.secret),
            ("MEDIA_DIR", &media),
            ("SMTP_URL", &smtp),
            ("ACCESS_TOKEN_SECONDS", &lifetime),
            ("MAX_CONNECTIONS_IP", "1024"),
            ("LIMIT_LOGIN_IP", "100000/1"),
            ("LIMIT_LOGIN_FREE_FAILURES", "1000000"),
            ("LIMIT_LOGIN_FAILURES", "1000000"),
            ("LIMIT_REGISTER_IP", "100000/1"),
            ("LIMIT_RESET_IP", "100000/1"),
            ("LIMIT_MAIL_CAUSE", "100000/1"),
            ("LIMIT_MAIL_COOLDOWN", "100000/1"),
            ("LIMIT_MAIL_HOUR", "100000/1"),
            ("LIMIT_MAIL_DAY", "100000/1"),
            ("LIMIT_OTP_EMAIL", "100000/1"),
            ("LIMIT_OTP_EMAIL_IP", "100000/1"),
        ];
        if !bind.is_empty() {
            variables.push(("BIND", &bind));
        }
        variables.extend(more);
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        variables.iter().map(owned).collect()
    }

    /// Starts an API and waits until it answers.
    pub(crate) fn api(&self, more: &[(&str, &str)]) -> anyhow::Result<Running> {
        Ok(self.timed_api(more)?.0)
    }

    /// The same, with the time from the start to the first 200.
    pub(crate) fn timed_api(&self, more: &[(&str, &str)]) -> anyhow::Result<(Running, Duration)> {
        let address = free_address()?;
        let mut variables = self.variables(Some(address), more);
        variables.push(("METRICS_BIND".to_owned(), "off".to_owned()));
        self.started("latchkey-api", address, &variables)
    }

    /// Starts a worker and waits until it answers.
    pub(crate) fn worker(&self) -> anyhow::Result<Running> {
        Ok(self.timed_worker()?.0)
    }

    /// The same, with the time from the start to the first 200.
    pub(crate) fn timed_worker(&self) -> anyhow::Result<(Running, Duration)> {
        let address = free_address()?;
        let mut variables = self.variables(None, &[]);
        variables.push(("METRICS_BIND".to_owned(), address.to_string()));
        self.started("latchkey-worker", address, &variables)
    }

    fn started(
        &self,
        name: &str,
        address: SocketAddr,
        variables: &[(String, String)],
    ) -> anyhow::Result<(Running, Duration)> {
        let (path, log) = (self.bench.program(name), self.log(name));
        let mut request = Vec::new();
        load::get(&mut request, "/health/live", "");
        let start = Instant::now();
        let mut program = Program::start(&path, &[], variables, &log)?;
        loop {
            if let Ok((200, _)) = load::ask(address, &request) {
                return Ok((Running { program, address }, start.elapsed()));
            }
            if !program.runs() || start.elapsed() > Duration::from_mins(1) {
                anyhow::bail!("{name} does not answer: {}", last_lines(&log));
            }
            thread::sleep(Duration::from_micros(500));
        }
    }
}

/// The hash of [`PASSWORD`].
fn hash(cost: HashCost) -> anyhow::Result<String> {
    let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, None);
    let params = params.map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(PASSWORD.as_bytes())
        .map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
    Ok(hash.to_string())
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let mut last = String::new();
    for line in lines.iter().rev().take(5).rev() {
        let _ = write!(last, "\n{line}");
    }
    last
}
