//! Redis by fred: for one-time codes. The queue has a connection of its own, of the kind that apalis-redis wants.

use std::time::Duration;

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientLike as _, KeysInterface as _},
    types::{
        Builder, Expiration,
        config::{Config, ReconnectPolicy},
    },
};
use tokio::time::{sleep, timeout};

use crate::dependency::Refusal;

pub mod fault;
pub mod one_time_code;

/// How long an answer may take.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// Seconds for which Redis keeps the key of a write check.
pub(crate) const CHECK_LIFETIME: i64 = 10;

/// Connects, and from then on reconnects by itself. A command that gets no answer within [`COMMAND_TIMEOUT`] fails.
pub async fn connect(url: &str, namespace: &str) -> Result<Client, Error> {
    let client = Builder::from_config(Config::from_url(url)?)
        .with_connection_config(|connection| {
            connection.connection_timeout = COMMAND_TIMEOUT;
            connection.internal_command_timeout = COMMAND_TIMEOUT;
            connection.max_command_attempts = 2;
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIMEOUT;
        })
        .set_policy(ReconnectPolicy::new_constant(0, 500))
        .build()?;
    // `init` would go on trying for ever; at the start a Redis that is not there is an error to report.
    timeout(Duration::from_secs(5), client.init())
        .await
        .map_err(|_| Error::new(ErrorKind::Timeout, "no connection within 5 s"))??;
    tokio::spawn(watch(client.clone(), namespace.to_owned()));
    Ok(client)
}

/// Replaces a connection that no longer leads to a Redis that works: one that is silent because its host has died, and one to
/// a Redis that was demoted to a replica or knows another password by now. fred can look out for silence itself, but counts
/// from the latest command, and so never gives up on a connection that always gets new ones.
async fn watch(client: Client, namespace: String) {
    let mut reported = None;
    loop {
        sleep(COMMAND_TIMEOUT).await;
        if !client.is_connected() {
            continue;
        }
        let Err(error) = check_write(&client, &namespace).await else {
            reported = None;
            continue;
        };
        let refusal = Refusal::from(&error);
        if *error.kind() == ErrorKind::Timeout || fault::is_cured_by_reconnecting(&refusal.cause) {
            if reported != Some(refusal.diagnosis) {
                tracing::warn!(error = %refusal, "Redis refuses its work; trying new connections");
                reported = Some(refusal.diagnosis);
            }
            // It goes on trying by itself.
            let _ = timeout(COMMAND_TIMEOUT, client.force_reconnection()).await;
        }
    }
}

/// Writes a key that Redis drops by itself, since a Redis that is a replica, full or unable to persist answers `PING` all the
/// same.
pub async fn check_write(client: &Client, namespace: &str) -> Result<(), Error> {
    let (key, lifetime) = (
        format!("{namespace}:health"),
        Expiration::EX(CHECK_LIFETIME),
    );
    client.set(key, "", Some(lifetime), None, false).await
}
