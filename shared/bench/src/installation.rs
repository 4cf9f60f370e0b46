//! Installations of Latchkey: a database with accounts, and the programs that run on it.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use latchkey_api::config::{Config, hash_cost::HashCost};
use latchkey_shared::{
    config::{secret_keys::SecretKeys, settings::Settings},
    crypto::secret_key::SecretKey,
    database,
    models::{
        data_key,
        user::search::{self, Filter},
    },
};
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{
    cli::{Options, Size},
    load,
    process::Program,
    seed::{self, PASSWORD, SESSIONS, Session, TOKEN_LIFETIME},
    smtp_sink::SmtpSink,
};

/// The state that all measurements share.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) runtime: Runtime,
    pub(crate) sink: SmtpSink,
    secret: String,
    access_token_secret: String,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(options: &'a Options) -> anyhow::Result<Self> {
        Ok(Self {
            options,
            runtime: Runtime::new()?,
            sink: SmtpSink::start()?,
            secret: Uuid::now_v7().to_string(),
            access_token_secret: Uuid::now_v7().to_string(),
        })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.options.programs.join(name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatabaseKind {
    Sqlite,
    Postgres,
}

impl DatabaseKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// An installation with its own database and Redis namespace. Its accounts are `u1@example.com`, `u2@example.com` and so
/// on; each has [`PASSWORD`].
pub(crate) struct Installation<'a> {
    pub(crate) bench: &'a Bench<'a>,
    pub(crate) kind: DatabaseKind,
    pub(crate) url: String,
    /// The number of accounts.
    pub(crate) accounts: u64,
    /// Sessions of the first accounts, [`SESSIONS`] at most.
    sessions: Vec<Session>,
    name: String,
    folder: PathBuf,
}

/// A running server and its address.
pub(crate) struct Running {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
}

impl<'a> Installation<'a> {
    /// Creates an installation with accounts whose passwords are hashed at this cost.
    pub(crate) fn new(
        bench: &'a Bench<'a>,
        kind: DatabaseKind,
        accounts: u64,
        cost: HashCost,
    ) -> anyhow::Result<Self> {
        let mut installation = Self {
            accounts,
            ..Self::migrated(bench, kind)?
        };
        let secret: Result<SecretKey, _> = bench.secret.parse();
        let secrets = SecretKeys::only(secret.ok().context("the secret key is invalid")?);
        let hash = hash(cost)?;
        installation.sessions = bench.runtime.block_on(async {
            let db = database::create(&installation.url).await?;
            seed::create_accounts(&db, kind, accounts, &hash).await?;
            let keys = data_key::load(&db, &secrets).await?;
            let config = Config::read(Settings::from_pairs(installation.variables(&[])))?;
            seed::create_sessions(&db, &keys, &config, accounts.min(SESSIONS)).await
        })?;
        Ok(installation)
    }

    /// Creates an installation without accounts.
    pub(crate) fn migrated(bench: &'a Bench<'a>, kind: DatabaseKind) -> anyhow::Result<Self> {
        let name = format!("bench_{}", Uuid::now_v7().simple());
        let folder = bench.options.work.join(&name);
        std::fs::create_dir_all(&folder)?;
        let url = match kind {
            DatabaseKind::Sqlite => format!("sqlite://{}/latchkey.db", folder.display()),
            DatabaseKind::Postgres => create_postgres_database(bench, &name)?,
        };
        let installation = Self {
            bench,
            kind,
            url,
            accounts: 0,
            sessions: Vec::new(),
            name,
            folder,
        };
        let migrate = installation.command(&["migrate"])?;
        migrate.wait().context("latchkey-api migrate")?;
        Ok(installation)
    }

    /// Starts a command of `latchkey-api`.
    pub(crate) fn command(&self, arguments: &[&str]) -> anyhow::Result<Program> {
        Program::start(
            &self.bench.program("latchkey-api"),
            arguments,
            &self.variables(&[]),
            &self.log("commands"),
        )
    }

    /// Creates another database, without tables, and returns its URL.
    pub(crate) fn new_database(&self, name: &str) -> anyhow::Result<String> {
        match self.kind {
            DatabaseKind::Sqlite => {
                let file = self.file(&format!("{name}.db"));
                Ok(format!("sqlite://{}?mode=rwc", file.display()))
            }
            DatabaseKind::Postgres => {
                create_postgres_database(self.bench, &format!("{}_{name}", self.name))
            }
        }
    }

    /// Returns the path of a file in the folder of the installation.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) async fn count_accounts(&self) -> anyhow::Result<u64> {
        let db = database::connect(&self.url).await?;
        Ok(search::count_all(&db, &Filter::default()).await?)
    }

    pub(crate) fn size(&self) -> Size {
        self.bench.options.size
    }

    pub(crate) fn session(&self, number: u64) -> &Session {
        &self.sessions[number as usize % self.sessions.len()]
    }

    /// Writes a request for the profile of a signed-in account.
    pub(crate) fn write_get(&self, number: u64, request: &mut Vec<u8>) {
        load::write_get(request, "/api/user/", &self.session(number).access);
    }

    /// Writes the same with a token of HS256.
    pub(crate) fn write_get_hs256(&self, number: u64, request: &mut Vec<u8>) {
        load::write_get(request, "/api/user/", &self.session(number).access_hs256);
    }

    /// Writes a login. Consecutive numbers are spread over the accounts.
    pub(crate) fn write_login(&self, number: u64, request: &mut Vec<u8>) {
        let account = number.wrapping_mul(7_919) % self.accounts + 1;
        let body = json!({"email": format!("u{account}@example.com"), "password": PASSWORD});
        load::write_json(request, "POST", "/api/login/", "", &body);
    }

    /// Writes a request for a one-time code.
    pub(crate) fn write_email_request(&self, number: u64, request: &mut Vec<u8>) {
        let account = number % self.accounts + 1;
        let body = json!({"email": format!("u{account}@example.com")});
        load::write_json(request, "POST", "/auth/email_request/", "", &body);
    }

    fn log(&self, program: &str) -> PathBuf {
        self.file(&format!("{program}.log"))
    }

    /// Returns the environment variables of the programs: an operator's settings, with rate limits too high to apply.
    fn variables(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let options = self.bench.options;
        let smtp = format!("smtp://{}?tls=none", self.bench.sink.address);
        let media = self.folder.join("media").display().to_string();
        let token_lifetime = TOKEN_LIFETIME.num_seconds().to_string();
        let mut variables = vec![
            ("DATABASE_URL", self.url.as_str()),
            ("REDIS_URL", &options.redis),
            ("REDIS_NAMESPACE", &self.name),
            ("SECRET_KEY", &self.bench.secret),
            ("MEDIA_DIR", &media),
            ("SMTP_URL", &smtp),
            ("ACCESS_TOKEN_SECONDS", &token_lifetime),
            ("ACCESS_TOKEN_SECRET", &self.bench.access_token_secret),
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
        variables.extend(more);
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        variables.iter().map(owned).collect()
    }

    /// Starts an API server and waits until it is live.
    pub(crate) fn api(&self, settings: &[(&str, &str)]) -> anyhow::Result<Running> {
        Ok(self.timed_api(settings)?.0)
    }

    /// Starts an API server. Returns also the time from the start to the first 200.
    pub(crate) fn timed_api(
        &self,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<(Running, Duration)> {
        let address = free_address()?;
        let bind = address.to_string();
        let mut more = vec![("BIND", bind.as_str()), ("METRICS_BIND", "off")];
        more.extend(settings);
        self.start("latchkey-api", address, &more)
    }

    /// Starts a worker and waits until it is live.
    pub(crate) fn worker(&self) -> anyhow::Result<Running> {
        Ok(self.timed_worker()?.0)
    }

    /// Starts a worker. Returns also the time from the start to the first 200.
    pub(crate) fn timed_worker(&self) -> anyhow::Result<(Running, Duration)> {
        let address = free_address()?;
        let bind = address.to_string();
        self.start("latchkey-worker", address, &[("METRICS_BIND", &bind)])
    }

    fn start(
        &self,
        name: &str,
        address: SocketAddr,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<(Running, Duration)> {
        let (path, log) = (self.bench.program(name), self.log(name));
        let variables = self.variables(settings);
        let mut request = Vec::new();
        load::write_get(&mut request, "/health/live", "");
        let start = Instant::now();
        let mut program = Program::start(&path, &[], &variables, &log)?;
        loop {
            if let Ok((200, _)) = load::send(address, &request) {
                return Ok((Running { program, address }, start.elapsed()));
            }
            if !program.is_running() || start.elapsed() > Duration::from_mins(1) {
                anyhow::bail!("{name} did not start. Its log ends:{}", last_lines(&log));
            }
            thread::sleep(Duration::from_micros(500));
        }
    }
}

/// Creates a database and returns its URL.
fn create_postgres_database(bench: &Bench, name: &str) -> anyhow::Result<String> {
    let server = bench.options.postgres.as_deref();
    let server = server.context("--postgres is not set")?;
    bench.runtime.block_on(async {
        let db = sea_orm::Database::connect(server).await?;
        db.execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await
    })?;
    let (server, _) = server
        .rsplit_once('/')
        .context("--postgres is not a URL with a database")?;
    Ok(format!("{server}/{name}"))
}

/// Returns the hash of [`PASSWORD`].
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

/// Returns the last five lines of a log, each after a line break.
fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let mut last = String::new();
    for line in lines.iter().rev().take(5).rev() {
        let _ = write!(last, "\n{line}");
    }
    last
}
