//! The configuration that both programs share, and the connections it describes.

pub mod mail;
pub mod rate;
pub mod secret_keys;
pub mod service_url;
pub mod settings;
pub mod web_url;

use std::time::Duration;

use chrono::TimeDelta;
use fred::clients::Client;
use url::Url;

use crate::{
    config::{
        secret_keys::SecretKeys,
        service_url::ServiceUrl,
        settings::{Environment, Settings},
    },
    database::{self, Database, DatabaseError},
    dependency::Refusal,
    health,
    outbox::template::{MailBranding, MailTemplates},
    queue::Queue,
    redis,
    telemetry::{
        logging::{self, LogFormat},
        trace::{self, Collector},
    },
};

/// The configuration that both programs share. Each field names its setting.
#[derive(Clone, Debug)]
pub struct SharedConfig {
    /// `ENVIRONMENT`
    pub environment: Environment,
    /// `DATABASE_URL`
    pub database_url: ServiceUrl,
    /// `REDIS_URL`
    pub redis_url: ServiceUrl,
    /// `REDIS_NAMESPACE`: separates installations that share a Redis.
    pub redis_namespace: String,
    /// `SECRET_KEY` and `SECRET_KEY_PREVIOUS`
    pub secret_keys: SecretKeys,
    /// `PUBLIC_URL`: the URL of the API for clients, without a trailing slash.
    pub public_url: Url,
    /// `PRODUCT_NAME` and what else all mails show.
    pub mail_branding: MailBranding,
    /// The templates of mails, some of which can be from `MAIL_TEMPLATES_DIR`.
    pub mail_templates: MailTemplates,
    /// `OTP_DIGITS`: the length of one-time codes.
    pub otp_digits: u32,
    /// `PENDING_ACCOUNT_DAYS`: how long an account that is pending email verification is kept. `None` for 0: until staff delete it.
    pub pending_account_retention: Option<TimeDelta>,
    /// `SHUTDOWN_SECONDS`: the timeout of a graceful shutdown.
    pub shutdown: Duration,
    /// `LOG_FORMAT`
    pub log_format: LogFormat,
    /// `RUST_LOG`
    pub log_filter: String,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: the collector of traces. `None` disables tracing.
    pub collector: Option<Collector>,
}

/// Reads a retention of up to ten years in days. `None` for 0: there is no end.
pub fn days(settings: &mut Settings, key: &str, default: i64) -> Option<TimeDelta> {
    let days = settings.within(key, default, 0..=3650);
    (days > 0).then(|| TimeDelta::days(days))
}

impl SharedConfig {
    /// Reads the shared settings. Returns `None` if `SECRET_KEY` is missing or a template of `MAIL_TEMPLATES_DIR` has an error, which
    /// is recorded as a fault.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let environment = Environment::read(settings);
        let secret_keys = SecretKeys::read(settings, environment);
        let database_url = ServiceUrl::database(settings);
        let redis_url = ServiceUrl::redis(settings);
        let public_url = public_url(settings, environment);
        let mail_templates = mail::templates(settings);
        Some(Self {
            environment,
            database_url,
            redis_url,
            redis_namespace: settings
                .text("REDIS_NAMESPACE")
                .unwrap_or_else(|| "latchkey".to_owned()),
            public_url,
            mail_branding: mail::branding(settings, environment),
            mail_templates: mail_templates?,
            otp_digits: settings.within("OTP_DIGITS", 6, 6..=10),
            pending_account_retention: days(settings, "PENDING_ACCOUNT_DAYS", 30),
            shutdown: Duration::from_secs(settings.within("SHUTDOWN_SECONDS", 25, 1..=600)),
            log_format: settings.choice("LOG_FORMAT", LogFormat::Text, "text or json"),
            log_filter: settings
                .text("RUST_LOG")
                .unwrap_or_else(|| logging::DEFAULT_FILTER.to_owned()),
            collector: settings.optional("OTEL_EXPORTER_OTLP_ENDPOINT", trace::EXPECTED),
            secret_keys: secret_keys?,
        })
    }

    /// Returns the path of `PUBLIC_URL` without a trailing slash, or an empty text. It is the prefix of all paths that clients
    /// see. A proxy removes it from requests.
    #[must_use]
    pub fn base_path(&self) -> &str {
        self.public_url.path().trim_end_matches('/')
    }

    /// Returns `PUBLIC_URL` without a trailing slash, the `iss` of access tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.public_url.as_str().trim_end_matches('/')
    }

    /// Returns the right-hand side of Message-IDs.
    #[must_use]
    pub fn message_domain(&self) -> &str {
        self.public_url.host_str().unwrap_or("localhost")
    }

    /// Connects to the database and to Redis. The error says how to start a missing one. An outage of a Redis that answers is
    /// no error and is returned, as the running programs wait for its end.
    pub async fn connect(&self) -> Result<(Connections, Option<Refusal>), MissingDependency> {
        let (url, namespace) = (self.redis_url.as_str(), &self.redis_namespace);
        let connections = Connections {
            db: self.connect_database().await?,
            redis: redis::connect(url, namespace).await?,
            queue: Queue::new(url, namespace).map_err(|error| Refusal::from(&error))?,
        };
        let Connections { redis, queue, .. } = &connections;
        let outage = match health::check_redis(redis, namespace, queue, &[]).await {
            Err(refusal) if refusal.stops_start() => return Err(refusal.into()),
            checked => checked.err(),
        };
        Ok((connections, outage))
    }

    /// Connects to the database only. Creates the SQLite file if there is none.
    pub async fn create_database(&self) -> Result<Database, MissingDependency> {
        Ok(database::create(self.database_url.as_str()).await?)
    }

    /// Connects to the database only.
    pub async fn connect_database(&self) -> Result<Database, MissingDependency> {
        Ok(database::connect(self.database_url.as_str()).await?)
    }
}

fn public_url(settings: &mut Settings, environment: Environment) -> Url {
    let expected = "the URL where clients reach the API, such as https://accounts.example.com or https://example.com/accounts";
    web_url::read(settings, environment, "PUBLIC_URL", expected)
        .unwrap_or_else(|| Url::parse("http://127.0.0.1:8000").expect("the default is a URL"))
}

/// The connections of a running program.
#[derive(Clone)]
pub struct Connections {
    /// The database.
    pub db: Database,
    /// Redis, for one-time codes.
    pub redis: Client,
    /// Redis, for the queue.
    pub queue: Queue,
}

/// A dependency that stops the start.
#[derive(Debug, thiserror::Error)]
pub enum MissingDependency {
    /// The database cannot be reached.
    #[error(
        "the database of DATABASE_URL cannot be reached: {0}\n  Start it (Debian: apt-get install postgresql), correct \
         DATABASE_URL, or unset it to use SQLite in var/."
    )]
    Database(DatabaseError),
    /// The database is not usable, such as a damaged file.
    #[error("DATABASE_URL: {0}")]
    DatabaseUnusable(DatabaseError),
    /// Redis cannot be reached.
    #[error(
        "the Redis of REDIS_URL cannot be reached: {0}\n  Start it (redis-server --appendonly yes; Debian: apt-get \
         install redis-server) or correct REDIS_URL. deploy/dev starts one."
    )]
    Redis(String),
    /// Redis refuses the login or commands.
    #[error("REDIS_URL: {0}")]
    RedisRefuses(Refusal),
}

impl From<DatabaseError> for MissingDependency {
    fn from(error: DatabaseError) -> Self {
        if error.is_unreachable() {
            Self::Database(error)
        } else {
            Self::DatabaseUnusable(error)
        }
    }
}

impl From<Refusal> for MissingDependency {
    fn from(refusal: Refusal) -> Self {
        if refusal.is_unresponsive() {
            Self::Redis(refusal.cause)
        } else {
            Self::RedisRefuses(refusal)
        }
    }
}
