//! A namespace of one's own in a running Redis.

use std::fmt::Write as _;

use latchkey_shared::{models::mail::Priority, queue::Queue};
use redis::{AsyncCommands as _, Client, aio::MultiplexedConnection};
use uuid::Uuid;

use crate::{Forwarder, variable};

/// Where a test keeps its codes and its queue.
pub struct TestRedis {
    url: String,
    namespace: String,
    connection: MultiplexedConnection,
}

impl TestRedis {
    /// A fresh namespace in the Redis of `TEST_REDIS_URL`.
    ///
    /// # Panics
    /// When the variable is not set, or Redis cannot be reached.
    pub async fn create() -> Self {
        let url = variable("TEST_REDIS_URL")
            .expect("TEST_REDIS_URL is not set: run deploy/test, or start a Redis and set it");
        Self::at(&url).await
    }

    /// A fresh namespace in another Redis, such as one that the test means to kill.
    ///
    /// # Panics
    /// When Redis cannot be reached.
    pub async fn at(url: &str) -> Self {
        let client = Client::open(url).expect("the URL of a Redis");
        let connection = client
            .get_multiplexed_async_connection()
            .await
            .unwrap_or_else(|error| panic!("the Redis of TEST_REDIS_URL: {error}"));
        Self {
            url: url.to_owned(),
            namespace: format!("test-{}", Uuid::now_v7().simple()),
            connection,
        }
    }

    /// The same, but whoever takes its URL or its queue gets there through a forwarder.
    ///
    /// # Panics
    /// As [`TestRedis::create`] does.
    pub async fn behind_a_forwarder() -> (Self, Forwarder) {
        let mut redis = Self::create().await;
        let (line, url) = Forwarder::before(&redis.url).await;
        redis.url = url;
        (redis, line)
    }

    /// For `REDIS_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// For `REDIS_NAMESPACE`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The queue in this namespace.
    ///
    /// # Panics
    /// When the URL is not one of a Redis.
    #[must_use]
    pub fn queue(&self) -> Queue {
        Queue::new(&self.url, &self.namespace).expect("a queue")
    }

    /// Returns the number of jobs that no worker has acknowledged: queued, scheduled or running.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn unacknowledged_jobs(&self) -> usize {
        let queue = self.queue();
        let mut jobs = 0;
        for priority in [Priority::High, Priority::Normal] {
            let storage = queue.storage(priority);
            let config = storage.get_config();
            let (known, done, dead): (usize, usize, usize) = redis::pipe()
                .atomic()
                .hlen(config.job_data_hash())
                .scard(config.done_jobs_set())
                .scard(config.dead_jobs_set())
                .query_async(&mut self.connection())
                .await
                .expect("the sizes of the queue");
            jobs += known.saturating_sub(done + dead);
        }
        jobs
    }

    /// A connection, for looking and for meddling.
    #[must_use]
    pub fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// Every key in the namespace, codes and queue alike, in order.
    ///
    /// # Panics
    /// When Redis does not answer.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self
            .connection()
            .keys(format!("{}:*", self.namespace))
            .await
            .expect("keys");
        keys.sort();
        keys
    }

    /// Every key with all it holds, as text: where tests look for what must not be there.
    ///
    /// # Panics
    /// When Redis does not answer, or holds something of a kind that this does not know.
    pub async fn dump(&self) -> String {
        let mut dump = String::new();
        for key in self.keys().await {
            let values = self.values(&key).await;
            let texts: Vec<_> = values
                .iter()
                .map(|value| String::from_utf8_lossy(value))
                .collect();
            let _ = writeln!(dump, "{key}: {}", texts.join(" | "));
        }
        dump
    }

    async fn values(&self, key: &str) -> Vec<Vec<u8>> {
        let mut redis = self.connection();
        let kind: String = redis::cmd("TYPE")
            .arg(key)
            .query_async(&mut redis)
            .await
            .expect("TYPE");
        let values = match kind.as_str() {
            "string" => redis.get(key).await.map(|value| vec![value]),
            "hash" => redis::cmd("HGETALL").arg(key).query_async(&mut redis).await,
            "set" => redis.smembers(key).await,
            "zset" => redis.zrange(key, 0, -1).await,
            "list" => redis.lrange(key, 0, -1).await,
            // It expired since it was listed.
            "none" => Ok(Vec::new()),
            other => panic!("{key} is a {other}, of which nobody here knows how to show all"),
        };
        values.unwrap_or_else(|error| panic!("{key}: {error}"))
    }
}
