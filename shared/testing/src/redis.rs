//! A separate Redis namespace for each test.

use std::fmt::Write as _;

use latchkey_shared::{models::mail::Priority, queue::Queue};
use redis::{AsyncCommands as _, Client, aio::MultiplexedConnection};
use uuid::Uuid;

use crate::{Forwarder, variable};

/// A Redis namespace of a test.
pub struct TestRedis {
    url: String,
    namespace: String,
    connection: MultiplexedConnection,
}

impl TestRedis {
    /// Creates a namespace in the Redis of `TEST_REDIS_URL`.
    pub async fn create() -> Self {
        let url = variable("TEST_REDIS_URL")
            .expect("TEST_REDIS_URL is not set: run deploy/test, or start a Redis and set it");
        Self::at(&url).await
    }

    /// Creates a namespace in another Redis, such as a [`crate::RedisServer`].
    pub async fn at(url: &str) -> Self {
        let client = Client::open(url).expect("the URL of a Redis");
        let connection = client
            .get_multiplexed_async_connection()
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        Self {
            url: url.to_owned(),
            namespace: format!("test-{}", Uuid::now_v7().simple()),
            connection,
        }
    }

    /// Creates a namespace whose URL and queue connect through a forwarder.
    pub async fn behind_forwarder() -> (Self, Forwarder) {
        let mut redis = Self::create().await;
        let (forwarder, url) = Forwarder::start(&redis.url).await;
        redis.url = url;
        (redis, forwarder)
    }

    /// Returns the value for `REDIS_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the value for `REDIS_NAMESPACE`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the mail queue of the namespace.
    #[must_use]
    pub fn queue(&self) -> Queue {
        Queue::new(&self.url, &self.namespace).expect("a queue")
    }

    /// Returns the number of jobs that no worker has acknowledged: queued, scheduled or running.
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

    /// Returns a connection for direct commands.
    #[must_use]
    pub fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// Returns all keys of the namespace, sorted.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self
            .connection()
            .keys(format!("{}:*", self.namespace))
            .await
            .expect("keys");
        keys.sort();
        keys
    }

    /// Returns all keys with their values as text, for tests that search for secrets.
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
            // The key has expired since it was listed.
            "none" => Ok(Vec::new()),
            other => panic!("{key} has the type {other}, which this dump does not support"),
        };
        values.unwrap_or_else(|error| panic!("{key}: {error}"))
    }
}
