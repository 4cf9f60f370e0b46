//! The configuration that both programs share, and the connections it describes.

pub mod rate;
pub mod secret_keys;
pub mod service_url;
pub mod settings;

use std::{net::IpAddr, time::Duration};

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
    queue::Queue,
    redis,
    telemetry::{
        logging::{self, LogFormat},
        trace::{self, Collector},
    },
    types::email::Email,
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
    /// `PRODUCT_NAME`: the name in mails and on pages.
    pub product_name: String,
    /// `SUPPORT_ADDRESS`: the contact in mails.
    pub support_address: Option<Email>,
    /// `OTP_DIGITS`: the length of one-time codes.
    pub otp_digits: u32,
    /// `SHUTDOWN_SECONDS`: the timeout of a graceful shutdown.
    pub shutdown: Duration,
    /// `LOG_FORMAT`
    pub log_format: LogFormat,
    /// `RUST_LOG`
    pub log_filter: String,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: the collector of traces. `None` disables tracing.
    pub collector: Option<Collector>,
}

impl SharedConfig {
    /// Reads the shared settings. Returns `None` if `SECRET_KEY` is missing, which is recorded as a fault.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let environment = settings.choice(
            "ENVIRONMENT",
            Environment::Development,
            "development or production",
        );
        let secret_keys = SecretKeys::read(settings, environment);
        let database_url = ServiceUrl::database(settings);
        let redis_url = ServiceUrl::redis(settings);
        let public_url = public_url(settings, environment);
        Some(Self {
            environment,
            database_url,
            redis_url,
            redis_namespace: settings
                .text("REDIS_NAMESPACE")
                .unwrap_or_else(|| "latchkey".to_owned()),
            public_url,
            product_name: settings
                .text("PRODUCT_NAME")
                .unwrap_or_else(|| "Latchkey".to_owned()),
            support_address: settings.optional("SUPPORT_ADDRESS", "an e-mail address"),
            otp_digits: settings.within("OTP_DIGITS", 6, 6..=10),
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
    let default = "http://127.0.0.1:8000";
    let expected = "the URL where clients reach the API, such as https://accounts.example.com or \
                    https://example.com/accounts, its path of letters, digits and - _ . ~, without . and .. as segments";
    let text = settings
        .text("PUBLIC_URL")
        .unwrap_or_else(|| default.to_owned());
    match Url::parse(text.trim_end_matches('/')) {
        Ok(url) if is_public(&url) && !is_rewritten(&text) => {
            let is_open = url.scheme() == "http" && !is_loopback(&url);
            if is_open && environment == Environment::Production {
                settings.fault(
                    "PUBLIC_URL",
                    "an https:// URL in production; http:// is for loopback addresses",
                );
            }
            url
        }
        _ => {
            settings.fault("PUBLIC_URL", expected);
            Url::parse(default).expect("the default is a URL")
        }
    }
}

/// Returns whether a URL can be the beginning of links: a host with an optional path of plain segments, and nothing else.
fn is_public(url: &Url) -> bool {
    let is_plain = |segment: &str| {
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        !segment.is_empty() && segment.bytes().all(is_unreserved)
    };
    let path = url.path();
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && (path == "/" || path.split('/').skip(1).all(is_plain))
}

/// Returns whether the parser would resolve a dot segment or read a backslash as a slash, so that the parsed path differs from the
/// given one (WHATWG URL, 4.4).
fn is_rewritten(text: &str) -> bool {
    let is_dot = |segment: &str| {
        matches!(
            segment.to_lowercase().replace("%2e", ".").as_str(),
            "." | ".."
        )
    };
    text.contains('\\') || text.split('/').any(is_dot)
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback_host)
}

/// Whether a host is this machine: a loopback address, with or without brackets, or `localhost` (RFC 6761, 6.3).
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
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
