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

use std::{sync::Arc, time::Duration};

use apalis_core::backend::TaskSink as _;
use apalis_redis::{Config, RedisStorage};
use redis::Script;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    batch::{Batch, BatchClosed},
    dependency::Refusal,
    models::mail::Priority,
    redis::{CHECK_LIFETIME, fault},
};

mod connection;

pub use crate::queue::connection::Connection;

/// The most wake-ups that wait at once in one queue.
pub const MAX_DEPTH: usize = 4_000;

/// How many wake-ups are pushed at a time. Redis does nothing else meanwhile.
const MOST_AT_ONCE: usize = 250;

/// How many finished jobs one sweep removes.
const SWEEP_BATCH: usize = 1_000;

/// A worker that says nothing for so long is not there: three times what it says it every.
const SEEN_SECONDS: u64 = 15;

/// What a worker that was not heard of for so many seconds leaves behind is removed.
const GONE_SECONDS: u64 = 60;

/// A handle on the queues, one for each priority; clones share one connection.
#[derive(Clone)]
pub struct Queue {
    connection: Connection,
    high: PriorityQueue,
    normal: PriorityQueue,
}

/// The queue of one priority.
#[derive(Clone)]
struct PriorityQueue {
    config: Config,
    /// What is to be pushed while a push is under way goes with the next one.
    wake_ups: Batch<Uuid, Result<bool, QueueError>>,
}

/// Why a wake-up could not be pushed, or the queue not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// Redis refused or did not answer.
    #[error("Redis: {0}")]
    Redis(Arc<redis::RedisError>),
    /// apalis could not push.
    #[error("apalis: {0}")]
    Push(String),
    /// The program stops.
    #[error(transparent)]
    BatchClosed(#[from] BatchClosed),
}

impl From<redis::RedisError> for QueueError {
    fn from(error: redis::RedisError) -> Self {
        Self::Redis(Arc::new(error))
    }
}

impl From<&QueueError> for Refusal {
    fn from(error: &QueueError) -> Self {
        match error {
            QueueError::Redis(error) => Self::from(error.as_ref()),
            QueueError::Push(error) => fault::of_text(error),
            QueueError::BatchClosed(error) => fault::of_text(&error.to_string()),
        }
    }
}

impl Queue {
    /// Connects to the queue of one installation.
    pub async fn connect(url: &str, namespace: &str) -> Result<Self, QueueError> {
        let connection = Connection::open(url).await?;
        Ok(Self {
            // The name that the only queue had before there were two: jobs of that time are heard here.
            high: PriorityQueue::new(&connection, format!("{namespace}:mails")),
            normal: PriorityQueue::new(&connection, format!("{namespace}:notices")),
            connection,
        })
    }

    fn lane(&self, priority: Priority) -> &PriorityQueue {
        match priority {
            Priority::High => &self.high,
            Priority::Normal => &self.normal,
        }
    }

    fn config(&self, priority: Priority) -> &Config {
        &self.lane(priority).config
    }

    /// The storage of one priority, which the worker's monitor reads.
    #[must_use]
    pub fn storage(&self, priority: Priority) -> RedisStorage<Value, Connection> {
        storage(&self.connection, self.config(priority))
    }

    /// Pushes a wake-up for a mail unless too many wait already; false when there was no room.
    pub async fn push_if_room(&self, mail: Uuid, priority: Priority) -> Result<bool, QueueError> {
        self.lane(priority).wake_ups.submit(mail).await?
    }

    /// Pushes wake-ups for mails.
    ///
    /// # Errors
    /// When Redis does not answer. Some may have been pushed then.
    pub async fn push(&self, mails: &[Uuid], priority: Priority) -> Result<(), QueueError> {
        for part in mails.chunks(MOST_AT_ONCE) {
            push(&self.connection, self.config(priority), part).await?;
        }
        Ok(())
    }

    /// Writes a key over the queue's connection that Redis drops by itself: the queue needs Redis to accept writes even to
    /// be read.
    pub async fn check_write(&self) -> Result<(), QueueError> {
        let () = redis::cmd("SET")
            .arg(format!("{}:health", self.high.config.workers_set()))
            .arg("")
            .arg("EX")
            .arg(CHECK_LIFETIME)
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// How many wake-ups of one priority wait.
    pub async fn depth(&self, priority: Priority) -> Result<usize, QueueError> {
        depth(&self.connection, self.config(priority)).await
    }

    /// Notes the name of a worker that is about to read one of the queues, so that [`Queue::sweep`] finds what it will
    /// leave behind.
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
    pub async fn workers(&self) -> Result<usize, QueueError> {
        let script = Script::new(
            "return redis.call('zcount', KEYS[1], redis.call('time')[1] - ARGV[1], '+inf')",
        );
        Ok(script
            .key(self.high.config.workers_set())
            .arg(SEEN_SECONDS)
            .invoke_async(&mut self.connection.clone())
            .await?)
    }

    /// Removes what finished jobs and workers that are gone leave behind, a batch of jobs at a time; returns how many
    /// jobs.
    pub async fn sweep(&self) -> Result<usize, QueueError> {
        let mut swept = 0;
        for PriorityQueue { config, .. } in [&self.high, &self.normal] {
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

impl PriorityQueue {
    fn new(connection: &Connection, queue: String) -> Self {
        let (connection, config) = (connection.clone(), config(queue));
        let into = config.clone();
        Self {
            config,
            wake_ups: Batch::new(MOST_AT_ONCE, 2, move |mails| {
                fill(connection.clone(), into.clone(), mails)
            }),
        }
    }
}

/// Pushes as many wake-ups as there is room for; of each whether it was.
async fn fill(
    connection: Connection,
    config: Config,
    mails: Vec<Uuid>,
) -> Vec<Result<bool, QueueError>> {
    let pushed = async {
        let room = MAX_DEPTH.saturating_sub(depth(&connection, &config).await?);
        let fitting = mails.get(..room).unwrap_or(&mails);
        if !fitting.is_empty() {
            push(&connection, &config, fitting).await?;
        }
        Ok(fitting.len())
    }
    .await;
    let of = |index| pushed.clone().map(|pushed| index < pushed);
    (0..mails.len()).map(of).collect()
}

async fn push(connection: &Connection, config: &Config, mails: &[Uuid]) -> Result<(), QueueError> {
    let payloads = mails.iter().map(|mail| Value::String(mail.to_string()));
    storage(connection, config)
        .push_bulk(payloads.collect())
        .await
        .map_err(|error| QueueError::Push(error.to_string()))
}

async fn depth(connection: &Connection, config: &Config) -> Result<usize, QueueError> {
    let (waiting, scheduled): (usize, usize) = redis::pipe()
        .llen(config.active_jobs_list())
        .zcard(config.scheduled_jobs_set())
        .query_async(&mut connection.clone())
        .await?;
    Ok(waiting + scheduled)
}

fn storage(connection: &Connection, config: &Config) -> RedisStorage<Value, Connection> {
    RedisStorage::new(connection.clone()).with_config(config.clone())
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
