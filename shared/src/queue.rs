//! The queue: a bounded channel of wake-ups in Redis, by apalis-redis. The other half of apalis is `worker`'s monitor.
//!
//! What travels is a mail's id and nothing else, and losing or doubling one costs nothing, because the mail's row decides
//! (`mail::claim`). That is what makes apalis-redis 1.0.0 fit for the job; by itself it is not durable. Covered here:
//!
//! - every push goes through a sorted set whose promotion fails for good above some 8,000 due ids: nothing is pushed
//!   unless the queue is short ([`MAX_DEPTH`]), and the relay tops it up;
//! - a payload that does not decode stops the worker: payloads are plain JSON values, read by our own hand;
//! - finished jobs leave their payload, their metadata and their id behind, and workers a description of themselves:
//!   [`Queue::sweep`] removes both;
//! - it knows no priorities: there is a queue for each, and the worker sees to it that codes pass;
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

use crate::mail::Priority;

/// The most wake-ups that wait at once in one queue.
pub const MAX_DEPTH: usize = 4_000;

/// How many finished jobs one sweep removes.
const SWEEP_BATCH: usize = 1_000;

/// A worker that says nothing for so long is not there: three times what it says it every.
const SEEN_SECONDS: u64 = 15;

/// What a worker that was not heard of for so many seconds leaves behind is removed.
const GONE_SECONDS: u64 = 60;

/// A handle on the queues, one for each priority; clones share one connection.
#[derive(Clone)]
pub struct Queue {
    connection: ConnectionManager,
    high: Config,
    normal: Config,
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
        Ok(Self {
            connection,
            // The name that the only queue had before there were two: jobs of that time are heard here.
            high: config(format!("{namespace}:mails")),
            normal: config(format!("{namespace}:notices")),
        })
    }

    fn config(&self, priority: Priority) -> &Config {
        match priority {
            Priority::High => &self.high,
            Priority::Normal => &self.normal,
        }
    }

    /// The storage of one priority, which the worker's monitor reads.
    #[must_use]
    pub fn storage(&self, priority: Priority) -> RedisStorage<Value> {
        RedisStorage::new(self.connection.clone()).with_config(self.config(priority).clone())
    }

    /// Pushes a wake-up for a mail unless too many wait already; false when there was no room.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn push_if_room(&self, mail: Uuid, priority: Priority) -> Result<bool, QueueError> {
        if self.depth(priority).await? >= MAX_DEPTH {
            return Ok(false);
        }
        self.push(mail, priority).await?;
        Ok(true)
    }

    /// Pushes a wake-up for a mail.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn push(&self, mail: Uuid, priority: Priority) -> Result<(), QueueError> {
        let payload = Value::String(mail.to_string());
        self.storage(priority)
            .push(payload)
            .await
            .map_err(|error| QueueError::Push(error.to_string()))
    }

    /// How many wake-ups of one priority wait.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn depth(&self, priority: Priority) -> Result<usize, QueueError> {
        let config = self.config(priority);
        let (waiting, scheduled): (usize, usize) = redis::pipe()
            .llen(config.active_jobs_list())
            .zcard(config.scheduled_jobs_set())
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(waiting + scheduled)
    }

    /// Notes the name of a worker that is about to read one of the queues, so that [`Queue::sweep`] finds what it will
    /// leave behind.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn announce(&self, worker: &str, priority: Priority) -> Result<(), QueueError> {
        let script =
            Script::new("return redis.call('zadd', KEYS[1], redis.call('time')[1], ARGV[1])");
        let _: usize = script
            .key(names_set(self.config(priority)))
            .arg(worker)
            .invoke_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// How many workers have lately said that they are there.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn workers(&self) -> Result<usize, QueueError> {
        let script = Script::new(
            "return redis.call('zcount', KEYS[1], redis.call('time')[1] - ARGV[1], '+inf')",
        );
        Ok(script
            .key(self.high.workers_set())
            .arg(SEEN_SECONDS)
            .invoke_async(&mut self.connection.clone())
            .await?)
    }

    /// Removes what finished jobs and workers that are gone leave behind, a batch of jobs at a time; returns how many
    /// jobs.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn sweep(&self) -> Result<usize, QueueError> {
        let mut swept = 0;
        for config in [&self.high, &self.normal] {
            swept += self.sweep_jobs(config).await?;
            self.sweep_workers(config).await?;
        }
        Ok(swept)
    }

    async fn sweep_jobs(&self, config: &Config) -> Result<usize, QueueError> {
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
            .key(config.done_jobs_set())
            .key(config.dead_jobs_set())
            .key(config.job_data_hash())
            .key(config.job_meta_hash())
            .arg(SWEEP_BATCH)
            .invoke_async(&mut self.connection.clone())
            .await?)
    }

    /// apalis forgets the name of a worker that is gone, and keeps its description for ever.
    async fn sweep_workers(&self, config: &Config) -> Result<(), QueueError> {
        let script = Script::new(
            r"
            local now = tonumber(redis.call('time')[1])
            for _, worker in ipairs(redis.call('zrangebyscore', KEYS[1], 0, now - ARGV[1])) do
                local seen = redis.call('zscore', KEYS[2], worker)
                if not seen or tonumber(seen) < now - ARGV[1] then
                    redis.call('del', KEYS[2] .. ':metadata:' .. worker)
                    redis.call('zrem', KEYS[1], worker)
                end
            end
            ",
        );
        let () = script
            .key(names_set(config))
            .key(config.workers_set())
            .arg(GONE_SECONDS)
            .invoke_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// The mail that a payload names; `None` for anything else, such as a job of another version.
    #[must_use]
    pub fn mail_of(payload: &Value) -> Option<Uuid> {
        payload.as_str()?.parse().ok()
    }
}

fn config(queue: String) -> Config {
    Config::default()
        .queue(queue)
        .batch_size(10)
        // A worker that died is noticed after 3 × 5 s. Its mails do not wait for that: the relay pushes them again.
        .heartbeat_interval(Duration::from_secs(5))
        .missed_heartbeats(3)
        .lock_tasks(false)
        .emit_events(false)
}

/// Our own list of the workers that have read a queue, with the time when they began.
fn names_set(config: &Config) -> String {
    format!("{}:names", config.workers_set())
}
