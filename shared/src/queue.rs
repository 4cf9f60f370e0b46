//! The queue: a bounded channel of wake-ups in Redis, by apalis-redis. The other half of apalis is `worker`'s monitor.
//!
//! What travels is a mail's id and nothing else, and losing or doubling one costs nothing, because the mail's row decides
//! (`mail::claim`). That is what makes apalis-redis 1.0.0 fit for the job; by itself it is not durable. Covered here:
//!
//! - every push goes through a sorted set whose promotion fails for good above some 8,000 due ids: nothing is pushed
//!   unless the queue is short ([`MAX_DEPTH`]), and the relay tops it up;
//! - a payload that does not decode stops the worker: payloads are plain JSON values, read by our own hand;
//! - finished jobs leave their payload, their metadata and their id behind: [`Queue::sweep`] removes them;
//! - its ready-made connection gives up on an answer after 500 ms: the one made here waits longer;
//! - a push that was cancelled leaves its storage unusable: each push has a storage of its own.

use std::time::Duration;

use apalis_core::backend::TaskSink as _;
use apalis_redis::{Config, RedisStorage};
use redis::{
    Client, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use serde_json::Value;
use uuid::Uuid;

/// The most wake-ups that wait at once.
pub const MAX_DEPTH: usize = 4_000;

/// How many finished jobs one sweep removes.
const SWEEP_BATCH: usize = 1_000;

/// A handle on the queue; clones share one connection.
#[derive(Clone)]
pub struct Queue {
    connection: ConnectionManager,
    config: Config,
}

/// Why a wake-up could not be pushed, or the queue not be read.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Redis refused or did not answer.
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// apalis could not push.
    #[error("apalis: {0}")]
    Push(String),
}

impl Queue {
    /// Connects to the queue of one installation.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn connect(url: &str, namespace: &str) -> Result<Self, QueueError> {
        let patience = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(Duration::from_secs(5)))
            .set_number_of_retries(2);
        let connection = ConnectionManager::new_with_config(Client::open(url)?, patience).await?;
        let config = Config::default()
            .queue(format!("{namespace}:mails"))
            .batch_size(10)
            // A worker that died is noticed after 3 × 5 s. Its mails do not wait for that: the relay pushes them again.
            .heartbeat_interval(Duration::from_secs(5))
            .missed_heartbeats(3)
            .lock_tasks(false)
            .emit_events(false);
        Ok(Self { connection, config })
    }

    /// The storage that the worker's monitor reads.
    #[must_use]
    pub fn storage(&self) -> RedisStorage<Value> {
        RedisStorage::new(self.connection.clone()).with_config(self.config.clone())
    }

    /// Pushes a wake-up for a mail unless too many wait already; false when there was no room.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn push_if_room(&self, mail: Uuid) -> Result<bool, QueueError> {
        if self.depth().await? >= MAX_DEPTH {
            return Ok(false);
        }
        self.push(mail).await?;
        Ok(true)
    }

    /// Pushes a wake-up for a mail.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn push(&self, mail: Uuid) -> Result<(), QueueError> {
        let payload = Value::String(mail.to_string());
        self.storage()
            .push(payload)
            .await
            .map_err(|error| QueueError::Push(error.to_string()))
    }

    /// How many wake-ups wait.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn depth(&self) -> Result<usize, QueueError> {
        let (waiting, scheduled): (usize, usize) = redis::pipe()
            .llen(self.config.active_jobs_list())
            .zcard(self.config.scheduled_jobs_set())
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(waiting + scheduled)
    }

    /// Removes what finished jobs leave behind, a batch at a time; returns how many jobs.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn sweep(&self) -> Result<usize, QueueError> {
        let script = Script::new(
            r"
            local swept = 0
            for _, ended in ipairs({KEYS[1], KEYS[2]}) do
                for _, id in ipairs(redis.call('spop', ended, ARGV[1])) do
                    redis.call('hdel', KEYS[3], id)
                    redis.call('del', KEYS[4] .. ':' .. id)
                    swept = swept + 1
                end
            end
            return swept
            ",
        );
        Ok(script
            .key(self.config.done_jobs_set())
            .key(self.config.dead_jobs_set())
            .key(self.config.job_data_hash())
            .key(self.config.job_meta_hash())
            .arg(SWEEP_BATCH)
            .invoke_async(&mut self.connection.clone())
            .await?)
    }

    /// The mail that a payload names; `None` for anything else, such as a job of another version.
    #[must_use]
    pub fn mail_of(payload: &Value) -> Option<Uuid> {
        payload.as_str()?.parse().ok()
    }
}
