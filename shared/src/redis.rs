//! Redis by fred: for one-time codes. The queue has a connection of its own, of the kind that apalis-redis wants.

use std::time::Duration;

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::ClientLike as _,
    types::{
        Builder,
        config::{Config, ReconnectPolicy},
    },
};
use tokio::time::{sleep, timeout};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Connects, and from then on reconnects by itself. A command that gets no answer within [`PATIENCE`] fails.
///
/// # Errors
/// When the URL is wrong or Redis cannot be reached.
pub async fn connect(url: &str) -> Result<Client, Error> {
    let client = Builder::from_config(Config::from_url(url)?)
        .with_connection_config(|connection| {
            connection.connection_timeout = PATIENCE;
            connection.internal_command_timeout = PATIENCE;
            connection.max_command_attempts = 2;
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = PATIENCE;
        })
        .set_policy(ReconnectPolicy::new_constant(0, 500))
        .build()?;
    // `init` would go on trying for ever; at the start a Redis that is not there is an error to report.
    timeout(Duration::from_secs(5), client.init())
        .await
        .map_err(|_| Error::new(ErrorKind::Timeout, "no connection within 5 s"))??;
    tokio::spawn(watch(client.clone()));
    Ok(client)
}

/// Replaces a connection that gives no sign of life: nobody closes one whose host has died. fred can look out for that itself,
/// but counts from the latest command, and so never gives up on one that always gets new ones.
async fn watch(client: Client) {
    loop {
        sleep(PATIENCE).await;
        if client.is_connected()
            && let Err(error) = ping(&client).await
            && *error.kind() == ErrorKind::Timeout
        {
            tracing::warn!("Redis does not answer; another connection is tried.");
            // It goes on trying by itself.
            let _ = timeout(PATIENCE, client.force_reconnection()).await;
        }
    }
}

/// Asks Redis for a sign of life.
///
/// # Errors
/// When there is none.
pub async fn ping(client: &Client) -> Result<(), Error> {
    client.ping(None).await
}
