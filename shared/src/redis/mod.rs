//! Connects to Redis with fred, for one-time codes and rate limits. The queue has a connection of its own ([`crate::queue`]).

use std::time::Duration;

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike as _, KeysInterface as _},
    types::{
        Builder, Expiration,
        config::{Config, ReconnectPolicy},
        scripts::Script,
    },
};
use tokio::time::{sleep, timeout};

use crate::{
    dependency::Refusal,
    redis::{greeting::Address, write_check::WriteCheck},
};

pub mod fault;
pub(crate) mod greeting;
pub mod one_time_code;
pub(crate) mod write_check;

/// The timeout of a command.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout of the first connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to Redis. The client reconnects automatically. A command fails after [`COMMAND_TIMEOUT`].
///
/// During an outage of a Redis that answers, such as loading its data, returns a client that connects at the end of the outage.
///
/// # Errors
/// When Redis does not respond, or refuses for another reason, such as the login.
pub async fn connect(url: &str, namespace: &str) -> Result<Client, Refusal> {
    let mut config = Config::from_url(url).map_err(|error| Refusal::from(&error))?;
    let client = match connect_once(&config).await {
        Ok(client) => client,
        Err(refusal) if fault::is_outage(&refusal.cause) => {
            config.fail_fast = false;
            let client = build(&config).map_err(|error| Refusal::from(&error))?;
            client.connect();
            client
        }
        Err(refusal) => return Err(refusal),
    };
    tokio::spawn(watch(client.clone(), namespace.to_owned()));
    Ok(client)
}

/// Creates a client, which does not connect yet.
fn build(config: &Config) -> Result<Client, Error> {
    Builder::from_config(config.clone())
        .with_connection_config(|connection| {
            connection.connection_timeout = COMMAND_TIMEOUT;
            connection.internal_command_timeout = COMMAND_TIMEOUT;
            connection.max_command_attempts = 2;
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIMEOUT;
        })
        .set_policy(ReconnectPolicy::new_constant(0, 500))
        .build()
}

/// Returns a connected client, or the error of the only attempt.
async fn connect_once(config: &Config) -> Result<Client, Refusal> {
    let connected = async {
        let client = build(config)?;
        client.init().await?;
        Ok::<_, Error>(client)
    };
    let timed_out = || Error::new(ErrorKind::Timeout, "no connection within 5 s");
    let connected = timeout(CONNECTION_TIMEOUT, connected).await;
    match connected.unwrap_or_else(|_| Err(timed_out())) {
        Ok(client) => Ok(client),
        Err(error) => {
            let address = greeting::address(config);
            Err(explain(Refusal::from(&error), address.as_ref()).await)
        }
    }
}

/// Replaces a connection that no longer leads to a working Redis: its host has died, or the Redis became a replica or has another
/// password. fred can detect a silent connection itself, but counts from the latest command, and so never gives up a connection
/// that keeps getting new ones.
async fn watch(client: Client, namespace: String) {
    let mut reported = None;
    loop {
        sleep(COMMAND_TIMEOUT).await;
        if !client.is_connected() {
            continue;
        }
        let Err(error) = check_connection(&client, &namespace).await else {
            reported = None;
            continue;
        };
        let refusal = Refusal::from(&error);
        if *error.kind() == ErrorKind::Timeout || fault::is_cured_by_reconnecting(&refusal.cause) {
            if reported != Some(refusal.diagnosis) {
                // The health check logs the outage with its remedy.
                let reason = refusal.diagnosis.word;
                tracing::info!(reason, "Redis refuses commands; reconnecting");
                reported = Some(refusal.diagnosis);
            }
            // On a timeout, fred continues to reconnect.
            let _ = timeout(COMMAND_TIMEOUT, client.force_reconnection()).await;
        }
    }
}

/// Writes a key that expires. A write and not PING, because a Redis that is a replica, full or unable to persist still answers
/// PING. Unlike [`check_write`], it only tells whether the connection leads to a working Redis.
async fn check_connection(client: &Client, namespace: &str) -> Result<(), Error> {
    let lifetime = Some(Expiration::EX(write_check::LIFETIME));
    let key = format!("{namespace}:health");
    client.set(key, "", lifetime, None, false).await
}

/// A key of the programs with the type that it has if it exists, as the command TYPE spells it.
pub type TypedKey = (String, &'static str);

/// Runs every Redis command of the programs on keys of its own, and checks the types of `keys`.
pub async fn check_write(client: &Client, namespace: &str, keys: &[TypedKey]) -> Result<(), Error> {
    let prefix = format!("{namespace}:health");
    let check = WriteCheck::new(&prefix, keys.iter().cloned());
    let script = Script::from_lua(write_check::SCRIPT);
    script
        .evalsha_with_reload(client, check.keys, check.arguments)
        .await
}

/// The key of the sorted set of current lockouts, scored by their end.
#[must_use]
pub fn lockouts_key(namespace: &str) -> String {
    format!("{namespace}:limit:lockouts")
}

/// Returns the error that Redis sends to new connections in place of a broken connection or a timeout, whose reason it tells.
pub(crate) async fn explain(refusal: Refusal, address: Option<&Address>) -> Refusal {
    match address {
        Some(address) if refusal.is_unresponsive() => {
            greeting::read(address).await.unwrap_or(refusal)
        }
        _ => refusal,
    }
}
