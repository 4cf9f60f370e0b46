//! The health of Redis: failures that deliveries, the relay and the consumers report, and the health check that confirms them.
//!
//! An outage fails every code and every call of the queue. So they report their errors instead of logging them, and the health
//! check logs the beginning and the end of an outage once, with its remedy. Deliveries go on, as notices do not need Redis.

use std::{sync::Arc, time::Duration};

use latchkey_shared::{
    config::Connections,
    dependency::{FailureFollower, FailureReports},
    health::{self, Check, Checks, OK},
};
use tokio::time::{Instant, sleep};

use crate::delivery;

/// How long Redis has to work before a failure counts as another outage. Longer than the timeouts of calls that failed in the
/// last one.
const RECOVERY: Duration = Duration::from_mins(1);

/// The health check of Redis. Clones share their state.
#[derive(Clone)]
pub struct RedisHealth(Arc<Inner>);

struct Inner {
    connections: Connections,
    namespace: String,
    check: Check,
}

impl RedisHealth {
    /// Creates the health check of the Redis of an installation.
    #[must_use]
    pub fn new(connections: &Connections, namespace: &str, checks: &Checks) -> Self {
        Self(Arc::new(Inner {
            connections: connections.clone(),
            namespace: namespace.to_owned(),
            check: checks.of("redis"),
        }))
    }

    /// Attempts a write, or returns the cached result of the last seconds: [`OK`], or a word for the problem.
    pub async fn ask(&self) -> &'static str {
        let Inner {
            connections: Connections { redis, queue, .. },
            namespace,
            check,
        } = &*self.0;
        let keys = delivery::fixed_keys(namespace);
        let attempt = health::check_redis(redis, namespace, queue, &keys);
        Box::pin(check.ask(attempt)).await
    }

    /// Checks Redis in the background whenever a failure is reported, until Redis works again. Starts with a check if it `is_failing`
    /// already.
    pub fn follow(&self, failures: &FailureReports, is_failing: bool) {
        let (health, mut failures) = (self.clone(), failures.follow());
        tokio::spawn(async move {
            if is_failing {
                health.watch(&mut failures).await;
            }
            while let Some(error) = failures.next().await {
                health.0.check.expire().await;
                if health.ask().await == OK {
                    tracing::warn!(
                        %error,
                        "Redis error, although the health check succeeds; mails are tried again"
                    );
                }
                health.watch(&mut failures).await;
            }
        });
    }

    /// Checks Redis until it has worked for [`RECOVERY`]. Skips the failures in that time.
    async fn watch(&self, failures: &mut FailureFollower) {
        let mut last_failure = Instant::now();
        loop {
            if self.ask().await != OK {
                last_failure = Instant::now();
            } else if last_failure.elapsed() >= RECOVERY {
                failures.skip_reported();
                return;
            }
            sleep(health::VALIDITY).await;
        }
    }
}
