//! What the API is told, beside what both programs are told.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use chrono::TimeDelta;
use latchkey_shared::{
    config::{
        SharedConfig,
        settings::{Environment, Settings, SettingsError},
    },
    telemetry::metrics,
};

use latchkey_shared::config::rate::Rate;

use crate::{
    config::rates::Rates,
    config::{
        connections::ConnectionSettings,
        hash_cost::HashCost,
        origin::check_origin,
        proxies::{Proxies, ProxyHeader},
    },
};

pub mod breached_file;
pub mod connections;
pub mod hash_cost;
pub mod origin;
mod production;
pub mod proxies;
pub mod rates;

/// The lowest accepted `PASSWORD_MIN_LENGTH`, and its default (NIST SP 800-63B-4, 3.1.1.2; ASVS 6.2.1).
pub const MIN_PASSWORD_LENGTH: usize = 8;

/// The longest lifetimes that settings allow, in seconds. What lasts longer does not end in practice.
const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

/// The configuration of the API. Each field names its variable.
#[derive(Clone, Debug)]
pub struct Config {
    /// What both programs share.
    pub common: SharedConfig,
    /// `BIND`: where it listens.
    pub bind: SocketAddr,
    /// `METRICS_BIND`: where it shows its figures; `None` for `off`.
    pub metrics_bind: Option<SocketAddr>,
    /// `MEDIA_DIR`: where profile pictures are kept.
    pub media_dir: PathBuf,
    /// `PICTURE_MAX_SIZE`: how many pixels the longer side of a stored picture has at most.
    pub picture_max_size: u32,
    /// `ACCESS_TOKEN_SECONDS`
    pub access_token: TimeDelta,
    /// `REFRESH_TOKEN_SECONDS`: also how long a session lives.
    pub refresh_token: TimeDelta,
    /// `SESSION_IDLE_SECONDS`: how long a session lives without a refresh; as long as its token by default.
    pub session_idle: TimeDelta,
    /// `ADMIN_SESSION_SECONDS`: how long a sign-in to the dashboard lasts at most.
    pub admin_session: TimeDelta,
    /// `ADMIN_IDLE_SECONDS`: how long it lasts without a click.
    pub admin_idle: TimeDelta,
    /// `REFRESH_ROTATION`: whether each refresh gives a new refresh token.
    pub rotation: Rotation,
    /// `RESET_SECONDS`: how long a password reset may take from its request on.
    pub reset: TimeDelta,
    /// `OTP_TRIES`: how many codes may be tried before a reset ends.
    pub otp_tries: i32,
    /// `ARGON2_MEMORY_KIB`, `ARGON2_ITERATIONS`, `ARGON2_PARALLELISM`
    pub hash_cost: HashCost,
    /// `PASSWORD_MIN_LENGTH`: the fewest characters of a new password, counted after NFKC.
    pub password_min_length: usize,
    /// `BREACHED_PASSWORDS_FILE`: passwords that are refused besides the common ones; none by default.
    pub breached_passwords: Option<PathBuf>,
    /// `HASH_QUEUE_SECONDS`: how long a password may wait for a free core.
    pub hash_queue: Duration,
    /// `REQUEST_SECONDS`: how long the body of a request may take to arrive.
    pub request: Duration,
    /// `MAX_CONNECTIONS`, `MAX_CONNECTIONS_IP`, `KEEP_ALIVE_SECONDS`, `WRITE_SECONDS`
    pub connections: ConnectionSettings,
    /// `DRAIN_SECONDS`: how long it goes on, but is not ready, after it was told to end.
    pub drain: Duration,
    /// `ACTIVATION`
    pub activation: Activation,
    /// `REGISTRATION_PRIVACY`: whether a registration with a taken address is answered like any other.
    pub registration_privacy: bool,
    /// `CORS_ORIGINS`: which web origins may call; none by default.
    pub cors_origins: Vec<String>,
    /// `TRUSTED_PROXIES`, `TRUSTED_PROXY_HEADER`: whose word about the client's address is believed; nobody's by default.
    pub proxies: Proxies,
    /// `LIMIT_…`
    pub rates: Rates,
}

/// Whether refresh tokens are replaced when they are used (RFC 9700, 4.14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// One refresh token a session, as the original's clients expect.
    Off,
    /// Each use gives a new one, and the use of an old one ends the session.
    On,
}

impl FromStr for Rotation {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(()),
        }
    }
}

/// Who lets a new account in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// An administrator.
    Admin,
    /// The owner, by a code that is mailed; or an administrator.
    Email,
    /// Nobody has to.
    None,
}

impl FromStr for Activation {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "admin" => Ok(Self::Admin),
            "email" => Ok(Self::Email),
            "none" => Ok(Self::None),
            _ => Err(()),
        }
    }
}

/// `on` or `off`.
struct Switch(bool);

impl FromStr for Switch {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "on" => Ok(Self(true)),
            "off" => Ok(Self(false)),
            _ => Err(()),
        }
    }
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// When anything in it is wrong, with all of it.
    ///
    /// # Panics
    /// Never: what makes the shared part absent is a fault, which ends the reading before.
    pub fn read(mut settings: Settings) -> Result<Self, SettingsError> {
        let common = SharedConfig::read(&mut settings);
        let environment = common
            .as_ref()
            .map_or(Environment::Development, |common| common.environment);
        let bind = settings.parse(
            "BIND",
            SocketAddr::from(([127, 0, 0, 1], 8000)),
            "an address and a port, such as 127.0.0.1:8000",
        );
        let metrics_bind = metrics::bind(&mut settings, SocketAddr::from(([127, 0, 0, 1], 9100)));
        let media_dir = settings
            .text("MEDIA_DIR")
            .unwrap_or_else(|| "var/media".to_owned());
        let picture_max_size = settings.within("PICTURE_MAX_SIZE", 512, 64..=1024);
        let access_token = seconds(&mut settings, "ACCESS_TOKEN_SECONDS", 300, DAY);
        let refresh_token = seconds(&mut settings, "REFRESH_TOKEN_SECONDS", 864_000, YEAR);
        let idle = refresh_token.num_seconds();
        let session_idle = seconds(&mut settings, "SESSION_IDLE_SECONDS", idle, YEAR);
        // NIST SP 800-63B-4, 2.2.3: 24 hours and one hour at most; half of that is usual.
        let admin_session = seconds(&mut settings, "ADMIN_SESSION_SECONDS", 43_200, DAY);
        let admin_idle = seconds(&mut settings, "ADMIN_IDLE_SECONDS", 1_800, DAY);
        let rotation = settings.choice("REFRESH_ROTATION", Rotation::Off, "on or off");
        let reset = seconds(&mut settings, "RESET_SECONDS", 600, DAY);
        let otp_tries = settings.within("OTP_TRIES", 5, 1..=10);
        let hash_cost = hash_cost(&mut settings, environment);
        let password_min_length = settings.within(
            "PASSWORD_MIN_LENGTH",
            MIN_PASSWORD_LENGTH,
            MIN_PASSWORD_LENGTH..=64,
        );
        let breached_passwords = breached_passwords(&mut settings);
        let registration_privacy = settings
            .choice("REGISTRATION_PRIVACY", Switch(false), "on or off")
            .0;
        let request = Duration::from_secs(settings.within("REQUEST_SECONDS", 60, 1..=600));
        let connections = connections(&mut settings);
        let drain = Duration::from_secs(settings.within("DRAIN_SECONDS", 0, 0..=60));
        let hash_queue = Duration::from_secs(settings.within("HASH_QUEUE_SECONDS", 5, 1..=60));
        let activation = settings.choice("ACTIVATION", Activation::Admin, "admin, email or none");
        let cors_origins = cors_origins(&mut settings);
        let proxies = Proxies {
            networks: proxies::trusted(&mut settings),
            header: settings.choice(
                "TRUSTED_PROXY_HEADER",
                ProxyHeader::Either,
                "either, x-forwarded-for or forwarded",
            ),
        };
        let rates = rates(&mut settings, environment);
        if environment == Environment::Production {
            production::check_proxies(&mut settings, &proxies.networks);
        }
        settings.finish()?;
        Ok(Self {
            common: common.expect("without its shared part the configuration has a fault"),
            bind,
            metrics_bind,
            media_dir: media_dir.into(),
            picture_max_size,
            access_token,
            refresh_token,
            session_idle,
            admin_session,
            admin_idle,
            rotation,
            reset,
            otp_tries,
            hash_cost,
            password_min_length,
            breached_passwords,
            hash_queue,
            request,
            connections,
            drain,
            registration_privacy,
            activation,
            cors_origins,
            proxies,
            rates,
        })
    }
}

/// Reads a lifetime of at most so many seconds.
fn seconds(settings: &mut Settings, key: &str, default: i64, most: i64) -> TimeDelta {
    TimeDelta::seconds(settings.within(key, default, 1..=most))
}

fn connections(settings: &mut Settings) -> ConnectionSettings {
    let max = settings.within("MAX_CONNECTIONS", 1_024, 1..=1_000_000);
    let expected = format!("a number from 1 to MAX_CONNECTIONS ({max})");
    let max_per_ip = settings.parse("MAX_CONNECTIONS_IP", max.min(128), &expected);
    if !(1..=max).contains(&max_per_ip) {
        settings.fault("MAX_CONNECTIONS_IP", &expected);
    }
    let seconds = |seconds| Duration::from_secs(seconds);
    ConnectionSettings {
        max,
        max_per_ip,
        keep_alive: seconds(settings.within("KEEP_ALIVE_SECONDS", 75, 1..=600)),
        write: seconds(settings.within("WRITE_SECONDS", 30, 1..=600)),
    }
}

fn hash_cost(settings: &mut Settings, environment: Environment) -> HashCost {
    let least = HashCost::default();
    let cost = HashCost {
        memory_kib: settings.within("ARGON2_MEMORY_KIB", least.memory_kib, 8..=4_194_304),
        iterations: settings.within("ARGON2_ITERATIONS", least.iterations, 1..=1_000),
        parallelism: settings.within("ARGON2_PARALLELISM", least.parallelism, 1..=64),
    };
    if cost.memory_kib < 8 * cost.parallelism {
        settings.fault("ARGON2_MEMORY_KIB", "at least 8 times ARGON2_PARALLELISM");
    }
    if environment == Environment::Production {
        if cost.memory_kib < least.memory_kib {
            settings.fault("ARGON2_MEMORY_KIB", "at least 19456 in production");
        }
        if cost.iterations < least.iterations {
            settings.fault("ARGON2_ITERATIONS", "at least 2 in production");
        }
    }
    cost
}

fn breached_passwords(settings: &mut Settings) -> Option<PathBuf> {
    const KEY: &str = "BREACHED_PASSWORDS_FILE";
    let path = PathBuf::from(settings.text(KEY)?);
    if let Err(error) = breached_file::validate(&path) {
        let expected = "the path of a file of SHA1:count lines, ordered by hash, as Have I Been Pwned publishes them";
        settings.fault(KEY, &format!("{expected} ({error})"));
    }
    Some(path)
}

fn rates(settings: &mut Settings, environment: Environment) -> Rates {
    let default = Rates::default();
    let enabled = settings.choice("LIMITS", Switch(true), "on or off").0;
    let is_checked = enabled && environment == Environment::Production;
    let mut rate = |key: &str, default: Rate| {
        let rate = settings.parse(key, default, "a count and seconds, such as 30/60");
        if is_checked {
            production::check_rate(settings, key, rate, default);
        }
        rate
    };
    let rates = Rates {
        enabled,
        login_ip: rate("LIMIT_LOGIN_IP", default.login_ip),
        register_ip: rate("LIMIT_REGISTER_IP", default.register_ip),
        reset_ip: rate("LIMIT_RESET_IP", default.reset_ip),
        otp_ip: rate("LIMIT_OTP_IP", default.otp_ip),
        otp_email: rate("LIMIT_OTP_EMAIL", default.otp_email),
        otp_email_ip: rate("LIMIT_OTP_EMAIL_IP", default.otp_email_ip),
        reset_password_ip: rate("LIMIT_RESET_PASSWORD_IP", default.reset_password_ip),
        password_change: rate("LIMIT_PASSWORD_CHANGE", default.password_change),
        email_change: rate("LIMIT_EMAIL_CHANGE", default.email_change),
        picture_account: rate("LIMIT_PICTURE_ACCOUNT", default.picture_account),
        picture_ip: rate("LIMIT_PICTURE_IP", default.picture_ip),
        ..default
    };
    let rates = Rates {
        free_failures: settings.within(
            "LIMIT_LOGIN_FREE_FAILURES",
            default.free_failures,
            1..=1_000_000,
        ),
        most_failures: settings.within(
            "LIMIT_LOGIN_FAILURES",
            default.most_failures,
            1..=1_000_000,
        ),
        max_counters: settings.within("LIMIT_MAX_COUNTERS", default.max_counters, 100..=10_000_000),
        ..rates
    };
    if is_checked {
        production::check_failures(settings, &rates);
    }
    rates
}

fn cors_origins(settings: &mut Settings) -> Vec<String> {
    let origins: Vec<String> = settings
        .text("CORS_ORIGINS")
        .unwrap_or_default()
        .split(',')
        .map(|origin| origin.trim().to_owned())
        .filter(|origin| !origin.is_empty())
        .collect();
    for origin in &origins {
        if let Err(reason) = check_origin(origin) {
            let origins = "origins like https://app.example.com, separated by commas";
            settings.fault("CORS_ORIGINS", &format!("{origins} ({reason})"));
        }
    }
    origins
}
