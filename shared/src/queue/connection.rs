//! The queue's connection to Redis. redis-rs opens another for one that was closed, but not for one that is only silent, as
//! after the death of its host, nor for one that leads to a Redis which was demoted to a replica or knows another password by
//! now. Here the caller that gets such an error, or waits in vain for an answer, has the connection replaced.

use std::{
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    Client, Cmd, ErrorKind, Pipeline, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};

use tokio::time::Instant;

use crate::redis::fault;

/// How long Redis may take for an answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two connections that are opened because Redis refuses its work.
const PAUSE: Duration = Duration::from_secs(1);

/// Clones share one connection.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    client: Client,
    current: Mutex<Current>,
}

struct Current {
    manager: ConnectionManager,
    /// How many there were before it.
    before: u64,
    /// When it was opened.
    since: Instant,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(url: &str) -> RedisResult<Self> {
        let client = Client::open(url)?;
        let manager = ConnectionManager::new_with_config(client.clone(), patience()).await?;
        let current = Mutex::new(Current {
            manager,
            before: 0,
            since: Instant::now(),
        });
        Ok(Self(Arc::new(Shared { client, current })))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        let current = self.0.current.lock();
        current.unwrap_or_else(PoisonError::into_inner)
    }

    /// Redis' own errors are among the answers: `answers` are those of an `A`.
    async fn ask<A>(
        &self,
        question: impl AsyncFnOnce(&mut ConnectionManager) -> RedisResult<A>,
        answers: fn(&A) -> &[Value],
    ) -> RedisResult<A> {
        let (mut manager, before) = {
            let current = self.current();
            (current.manager.clone(), current.before)
        };
        let answer = question(&mut manager).await;
        match &answer {
            Err(error) if error.is_timeout() => self.replace(before)?,
            Err(error)
                if error.kind() == ErrorKind::AuthenticationFailed
                    || fault::is_cured_by_reconnecting(&error.to_string()) =>
            {
                self.replace_after_pause(before)?;
            }
            Ok(given) if answers(given).iter().any(is_cured_by_reconnecting) => {
                self.replace_after_pause(before)?;
            }
            _ => {}
        }
        answer
    }

    /// As [`Connection::replace`], but not at once after the last time: a Redis that refuses its work may go on doing so.
    fn replace_after_pause(&self, before: u64) -> RedisResult<()> {
        if self.current().since.elapsed() < PAUSE {
            return Ok(());
        }
        self.replace(before)
    }

    /// Replaces the connection that had so many before it, unless somebody else just did.
    fn replace(&self, before: u64) -> RedisResult<()> {
        let mut current = self.current();
        if current.before == before {
            tracing::debug!("The queue gets a new connection to Redis");
            current.manager =
                ConnectionManager::new_lazy_with_config(self.0.client.clone(), patience())?;
            current.before += 1;
            current.since = Instant::now();
        }
        Ok(())
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.ask(
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
        Box::pin(self.ask(
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

fn patience() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_number_of_retries(2)
}
