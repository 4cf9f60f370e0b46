//! The queue's connection to Redis.
//!
//! redis-rs reopens a closed connection. It does not replace one that is silent because its host has died, nor one to a Redis that
//! became a replica or has another password. This connection replaces itself when a command gets such an error or times out.

use std::{
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    Client, Cmd, ConnectionAddr, ErrorKind, Pipeline, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};

use tokio::time::Instant;

use crate::redis::{fault, greeting::Address};

/// The timeout of a command.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The minimum time between two new connections to a Redis that refuses commands.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// A connection. Clones share it.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    client: Client,
    current: Mutex<Current>,
}

struct Current {
    manager: ConnectionManager,
    /// Counts the replacements, to identify the connection.
    generation: u64,
    /// When the connection was opened.
    opened_at: Instant,
}

impl Connection {
    /// Creates a connection. The first command opens it, so that the programs start during an outage of Redis.
    pub(super) fn new(url: &str) -> RedisResult<Self> {
        let client = Client::open(url)?;
        let current = Mutex::new(Current {
            manager: ConnectionManager::new_lazy_with_config(client.clone(), config())?,
            generation: 0,
            opened_at: Instant::now(),
        });
        Ok(Self(Arc::new(Shared { client, current })))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        let current = self.0.current.lock();
        current.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the address of Redis. `None` with TLS.
    pub(super) fn address(&self) -> Option<Address> {
        match self.0.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) => Some((host.clone(), *port)),
            _ => None,
        }
    }

    /// Runs a command, and replaces the connection if that may help. `replies` returns the replies in an `A`, which contain the
    /// errors of Redis.
    async fn run<A>(
        &self,
        command: impl AsyncFnOnce(&mut ConnectionManager) -> RedisResult<A>,
        replies: fn(&A) -> &[Value],
    ) -> RedisResult<A> {
        let (mut manager, generation) = {
            let current = self.current();
            (current.manager.clone(), current.generation)
        };
        let result = command(&mut manager).await;
        match &result {
            Err(error) if error.is_timeout() => self.replace(generation)?,
            Err(error)
                if error.kind() == ErrorKind::AuthenticationFailed
                    || fault::is_cured_by_reconnecting(&error.to_string()) =>
            {
                self.replace_after_pause(generation)?;
            }
            Ok(given) if replies(given).iter().any(is_cured_by_reconnecting) => {
                self.replace_after_pause(generation)?;
            }
            _ => {}
        }
        result
    }

    /// Replaces the connection unless it was opened recently: a Redis that refuses commands may go on doing so.
    fn replace_after_pause(&self, generation: u64) -> RedisResult<()> {
        if self.current().opened_at.elapsed() < RECONNECT_PAUSE {
            return Ok(());
        }
        self.replace(generation)
    }

    /// Replaces the connection, unless another caller already did.
    fn replace(&self, generation: u64) -> RedisResult<()> {
        let mut current = self.current();
        if current.generation == generation {
            tracing::debug!("Replacing the queue's connection to Redis");
            current.manager =
                ConnectionManager::new_lazy_with_config(self.0.client.clone(), config())?;
            current.generation += 1;
            current.opened_at = Instant::now();
        }
        Ok(())
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.run(
            async |manager| manager.send_packed_command(command).await,
            slice::from_ref,
        ))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.run(
            async move |manager| manager.send_packed_commands(commands, offset, count).await,
            Vec::as_slice,
        ))
    }

    fn get_db(&self) -> i64 {
        self.current().manager.get_db()
    }
}

fn is_cured_by_reconnecting(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if fault::is_cured_by_reconnecting(&error.to_string()))
}

fn config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_number_of_retries(2)
}
