//! The queue's connection to Redis. redis-rs opens another for one that was closed, but not for one that is only silent, as
//! after the death of its host; here whoever waits in vain for an answer has it replaced.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    Client, Cmd, Pipeline, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};

/// How long Redis may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);

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
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When the URL is wrong or Redis cannot be reached.
    pub(super) async fn open(url: &str) -> RedisResult<Self> {
        let client = Client::open(url)?;
        let manager = ConnectionManager::new_with_config(client.clone(), patience()).await?;
        let current = Mutex::new(Current { manager, before: 0 });
        Ok(Self(Arc::new(Shared { client, current })))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        let current = self.0.current.lock();
        current.unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<A>(
        &self,
        question: impl AsyncFnOnce(&mut ConnectionManager) -> RedisResult<A>,
    ) -> RedisResult<A> {
        let (mut manager, before) = {
            let current = self.current();
            (current.manager.clone(), current.before)
        };
        let answer = question(&mut manager).await;
        if answer.as_ref().is_err_and(redis::RedisError::is_timeout) {
            self.replace(before)?;
        }
        answer
    }

    /// Replaces the connection that had so many before it, unless somebody else just did.
    fn replace(&self, before: u64) -> RedisResult<()> {
        let mut current = self.current();
        if current.before == before {
            tracing::warn!("Redis does not answer; the queue gets a new connection.");
            current.manager =
                ConnectionManager::new_lazy_with_config(self.0.client.clone(), patience())?;
            current.before += 1;
        }
        Ok(())
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.ask(async |manager| manager.send_packed_command(command).await))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(
            self.ask(async move |manager| {
                manager.send_packed_commands(commands, offset, count).await
            }),
        )
    }

    fn get_db(&self) -> i64 {
        self.current().manager.get_db()
    }
}

fn patience() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(ANSWER))
        .set_number_of_retries(2)
}
