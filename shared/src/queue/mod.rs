//! The queue: a bounded list of mail ids in Redis, based on apalis-redis. The worker consumes it with apalis.
//!
//! The queue carries only the ids of mails. A lost or repeated id does no harm, because the mail's row decides
//! ([`crate::models::mail::claim`]). So apalis-redis 1.0.0 is suitable, although it is not durable. Its other
//! limits and how they are handled:
//!
//! - A push goes through a sorted set, and moving ids out of it fails for good above some 8,000 due ids. So pushes stop at
//!   [`MAX_DEPTH`], and the relay pushes the rest later.
//! - A payload that does not decode stops the worker. So payloads are plain JSON values, decoded by [`Queue::mail_of`].
//! - Finished jobs leave their payload, metadata and id behind, and workers their metadata. [`Queue::sweep`] removes both.
//! - It has no priorities. So each priority has a queue, and the worker reserves capacity for codes.
//! - Its own connection times out after 500 ms. So this module brings its own connection with a longer timeout.
//! - A cancelled push leaves its storage unusable. So each push has a storage of its own.

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
    redis::{
        TypedKey, fault,
        write_check::{self, WriteCheck},
    },
};

mod connection;

pub use crate::queue::connection::Connection;

/// The maximum number of ids in a queue.
pub const MAX_DEPTH: usize = 4_000;

/// The number of ids in one push. Redis executes nothing else during a push.
const PUSH_BATCH_SIZE: usize = 250;

/// The number of finished jobs that one sweep removes.
const SWEEP_BATCH: usize = 1_000;

/// A worker without a heartbeat for this long counts as dead: three heartbeat intervals.
const LIVE_SECONDS: u64 = 15;

/// The metadata of a worker without a heartbeat for this long is removed.
const METADATA_SECONDS: u64 = 60;

/// The queues, one for each priority. Clones share one connection.
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
    /// Ids that arrive during a push form the next one.
    pushes: Batch<Uuid, Result<bool, QueueError>>,
}

/// Why the queue could not be written or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// Redis failed or did not respond.
    #[error("Redis: {0}")]
    Redis(Arc<redis::RedisError>),
    /// apalis failed to push.
    #[error("apalis: {0}")]
    Push(String),
    /// The batch of the push failed.
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
            QueueError::Push(error) => fault::from_text(error),
            QueueError::BatchClosed(error) => fault::from_text(&error.to_string()),
        }
    }
}

impl Queue {
    /// Creates the queues of an installation. Their first command connects to Redis.
    ///
    /// # Errors
    /// When the URL is not one of a Redis.
    pub fn new(url: &str, namespace: &str) -> Result<Self, QueueError> {
        let connection = Connection::new(url)?;
        Ok(Self {
            high: PriorityQueue::new(&connection, format!("{namespace}:mails")),
            normal: PriorityQueue::new(&connection, format!("{namespace}:notices")),
            connection,
        })
    }

    fn queue(&self, priority: Priority) -> &PriorityQueue {
        match priority {
            Priority::High => &self.high,
            Priority::Normal => &self.normal,
        }
    }

    fn config(&self, priority: Priority) -> &Config {
        &self.queue(priority).config
    }

    /// Returns the storage of a priority, which the worker consumes.
    #[must_use]
    pub fn storage(&self, priority: Priority) -> RedisStorage<Value, Connection> {
        storage(&self.connection, self.config(priority))
    }

    /// Pushes a mail's id. Returns false if the queue is full.
    pub async fn push_unless_full(
        &self,
        mail: Uuid,
        priority: Priority,
    ) -> Result<bool, QueueError> {
        self.queue(priority).pushes.submit(mail).await?
    }

    /// Pushes the ids of mails.
    ///
    /// # Errors
    /// Some ids may have been pushed.
    pub async fn push(&self, mails: &[Uuid], priority: Priority) -> Result<(), QueueError> {
        for part in mails.chunks(PUSH_BATCH_SIZE) {
            push(&self.connection, self.config(priority), part).await?;
        }
        Ok(())
    }

    /// Runs every Redis command of the programs over the queue's connection, and checks the types of the queue's keys.
    pub async fn check_write(&self) -> Result<(), QueueError> {
        let keys = [&self.high, &self.normal].map(|queue| typed_keys(&queue.config));
        let prefix = format!("{}:health", self.high.config.workers_set());
        let check = WriteCheck::new(&prefix, keys.into_iter().flatten());
        let script = Script::new(write_check::SCRIPT);
        let mut invocation = script.prepare_invoke();
        for key in check.keys {
            invocation.key(key);
        }
        for argument in check.arguments {
            invocation.arg(argument);
        }
        let () = invocation
            .invoke_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// Replaces a broken connection or a timeout by the reason why Redis accepts no new connection, if there is one.
    pub async fn explain(&self, refusal: Refusal) -> Refusal {
        crate::redis::explain(refusal, self.connection.address().as_ref()).await
    }

    /// Returns the number of ids in the queue of a priority.
    pub async fn depth(&self, priority: Priority) -> Result<usize, QueueError> {
        depth(&self.connection, self.config(priority)).await
    }

    /// Registers a worker that is about to consume a queue, so that [`Queue::sweep`] can remove its metadata later.
    pub async fn register_worker(
        &self,
        worker: &str,
        priority: Priority,
    ) -> Result<(), QueueError> {
        let script =
            Script::new("return redis.call('zadd', KEYS[1], redis.call('time')[1], ARGV[1])");
        let _: usize = script
            .key(names_set(self.config(priority)))
            .arg(worker)
            .invoke_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// Returns the number of live workers.
    pub async fn workers(&self) -> Result<usize, QueueError> {
        let script = Script::new(
            "return redis.call('zcount', KEYS[1], redis.call('time')[1] - ARGV[1], '+inf')",
        );
        Ok(script
            .key(self.high.config.workers_set())
            .arg(LIVE_SECONDS)
            .invoke_async(&mut self.connection.clone())
            .await?)
    }

    /// Removes what finished jobs and dead workers leave behind, up to `SWEEP_BATCH` jobs of each kind. Returns the number of
    /// removed jobs.
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

    /// Removes the metadata of dead workers. apalis removes only their names.
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
            .arg(METADATA_SECONDS)
            .invoke_async(&mut self.connection.clone())
            .await?;
        Ok(())
    }

    /// Returns the mail id in a payload. `None` for other payloads, such as those of another version.
    #[must_use]
    pub fn mail_of(payload: &Value) -> Option<Uuid> {
        payload.as_str()?.parse().ok()
    }
}

impl PriorityQueue {
    fn new(connection: &Connection, queue: String) -> Self {
        let (connection, config) = (connection.clone(), config(queue));
        let pushed_config = config.clone();
        Self {
            config,
            pushes: Batch::new(PUSH_BATCH_SIZE, 2, move |mails| {
                push_until_full(connection.clone(), pushed_config.clone(), mails)
            }),
        }
    }
}

/// Pushes ids until the queue is full. Returns for each id whether it was pushed.
async fn push_until_full(
    connection: Connection,
    config: Config,
    mails: Vec<Uuid>,
) -> Vec<Result<bool, QueueError>> {
    let pushed = async {
        let free = MAX_DEPTH.saturating_sub(depth(&connection, &config).await?);
        let fitting = mails.get(..free).unwrap_or(&mails);
        if !fitting.is_empty() {
            push(&connection, &config, fitting).await?;
        }
        Ok(fitting.len())
    }
    .await;
    let was_pushed = |index| pushed.clone().map(|pushed| index < pushed);
    (0..mails.len()).map(was_pushed).collect()
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
        // A dead worker is noticed after 3 × 5 s. Its mails do not wait for that: the relay pushes them again.
        .heartbeat_interval(Duration::from_secs(5))
        .missed_heartbeats(3)
        .lock_tasks(false)
        .emit_events(false)
}

/// The key of the registered workers, each with the time of its registration.
fn names_set(config: &Config) -> String {
    format!("{}:names", config.workers_set())
}

/// The keys of a queue with their types.
fn typed_keys(config: &Config) -> [TypedKey; 8] {
    [
        (config.active_jobs_list(), "list"),
        (config.signal_list(), "list"),
        (config.scheduled_jobs_set(), "zset"),
        (config.workers_set(), "zset"),
        (names_set(config), "zset"),
        (config.job_data_hash(), "hash"),
        (config.done_jobs_set(), "set"),
        (config.dead_jobs_set(), "set"),
    ]
}
