//! The configuration of the API server: one file a concern.

pub mod access_token_algorithm;
pub mod accounts;
pub mod breached_file;
pub mod connections;
pub mod cors;
pub mod hash_cost;
pub mod passwords;
mod production;
pub mod proxies;
pub mod rates;
pub mod sessions;
pub mod tokens;

use std::{net::SocketAddr, str::FromStr, time::Duration};

use chrono::TimeDelta;
use latchkey_shared::{
    config::{
        SharedConfig,
        settings::{Environment, Settings, SettingsError},
    },
    telemetry::metrics,
};

use crate::config::{
    accounts::AccountSettings, connections::ConnectionSettings, passwords::PasswordSettings,
    proxies::Proxies, rates::Rates, sessions::SessionSettings, tokens::TokenSettings,
};

/// One day, in seconds.
const DAY: i64 = 86_400;

/// The configuration of the API server. Each field names its setting.
#[derive(Clone, Debug)]
pub struct Config {
    /// The settings that the worker has, too.
    pub common: SharedConfig,
    /// `BIND`: the address of the API.
    pub bind: SocketAddr,
    /// `METRICS_BIND`: the address of the metrics. `None` for `off`.
    pub metrics_bind: Option<SocketAddr>,
    /// Registration, one-time codes and pictures.
    pub accounts: AccountSettings,
    /// Lifetimes of tokens and sessions.
    pub sessions: SessionSettings,
    /// Signatures and claims of access tokens.
    pub tokens: TokenSettings,
    /// Rules and hashing of passwords.
    pub passwords: PasswordSettings,
    /// Limits and timeouts of client connections.
    pub connections: ConnectionSettings,
    /// `CORS_ORIGINS`: web origins whose pages may call the API.
    pub cors_origins: Vec<String>,
    /// `TRUSTED_PROXIES`, `TRUSTED_PROXY_HEADER`
    pub proxies: Proxies,
    /// `LIMITS`, `LIMIT_…`
    pub rates: Rates,
}

impl Config {
    /// Reads and checks all settings. The error names all that are missing or invalid.
    ///
    /// # Panics
    /// Never: without the shared settings `finish` has failed before.
    pub fn read(mut settings: Settings) -> Result<Self, SettingsError> {
        let settings = &mut settings;
        let common = SharedConfig::read(settings);
        let environment = common
            .as_ref()
            .map_or(Environment::Development, |common| common.environment);
        let bind = settings.parse(
            "BIND",
            SocketAddr::from(([127, 0, 0, 1], 8000)),
            "an address and a port, such as 127.0.0.1:8000",
        );
        let metrics_bind = metrics::bind(settings, SocketAddr::from(([127, 0, 0, 1], 9100)));
        let accounts = AccountSettings::read(settings);
        let sessions = SessionSettings::read(settings);
        let tokens = TokenSettings::read(settings, environment);
        let passwords = PasswordSettings::read(settings, environment);
        let connections = ConnectionSettings::read(settings);
        let cors_origins = cors::read_origins(settings);
        let proxies = Proxies::read(settings, environment);
        let rates = Rates::read(settings, environment);
        std::mem::take(settings).finish()?;
        Ok(Self {
            common: common.expect("a missing SECRET_KEY is a fault"),
            bind,
            metrics_bind,
            accounts,
            sessions,
            tokens,
            passwords,
            connections,
            cors_origins,
            proxies,
            rates,
        })
    }
}

/// Reads a lifetime of 1 to `max` seconds.
fn lifetime(settings: &mut Settings, key: &str, default: i64, max: i64) -> TimeDelta {
    TimeDelta::seconds(settings.within(key, default, 1..=max))
}

/// Reads a timeout of 1 to `max` seconds.
fn timeout(settings: &mut Settings, key: &str, default: u64, max: u64) -> Duration {
    Duration::from_secs(settings.within(key, default, 1..=max))
}

/// `on` or `off`.
struct Switch(bool);

impl Switch {
    fn read(settings: &mut Settings, key: &str, default: bool) -> bool {
        settings.choice(key, Self(default), "on or off").0
    }
}

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
