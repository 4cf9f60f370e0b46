//! Rate limits and lockouts: counters in Redis, shared by all replicas. Each request costs one script call.
//!
//! There are two kinds of counters. A window allows a number of requests in any span of some seconds. Counters of failed
//! attempts lead to delays and locks (`failed_attempts`). Requests that are refused are not counted. An attempt is refunded if
//! it ends before the password is checked, for example because the service is busy or the client disconnects.
//!
//! Clients cannot fill Redis. It keeps the newest `LIMIT_MAX_COUNTERS` counters of client networks and of emails without
//! an account, for each lifetime, see `track.lua`. Counters of accounts are never evicted. An IPv6 client counts by its /64,
//! and together with all clients of its /48, which has ten times the limit.
//!
//! A list of current lockouts lets administrators see them and end them early.
//!
//! If Redis does not answer, rate-limited requests are refused (503): unlimited guesses would be worse.

use std::{future::Future, sync::Arc};

use chrono::{DateTime, Utc};
use fred::{
    clients::Client,
    error::Error,
    interfaces::{KeysInterface as _, SortedSetsInterface as _},
    types::scripts::Script,
};
use latchkey_shared::{crypto::token_hash::Fingerprints, dependency::FailureReports, redis};
use tokio::{sync::Semaphore, time::timeout};
use uuid::Uuid;

use crate::config::rates::Rates;
use crate::http::error::{ApiError, RateLimitExceeded};

mod attempt;
mod counter;
mod failed_attempts;
mod keys;
mod limit;
mod lockout_list;

pub use attempt::AttemptGuard;
use attempt::Refund;
use counter::Counter;
use failed_attempts::MAX_DELAY;
pub use limit::Limit;
use lockout_list::MAX_LOCKOUTS;
pub use lockout_list::{Lockout, LockoutSubject};

/// Maximum number of concurrent script calls. fred takes several KiB for each call in flight; a waiting caller takes a few
/// bytes.
const MAX_CONCURRENT_CALLS: usize = 16;

/// Counts requests and failed attempts in Redis.
pub struct Limiter {
    redis: Client,
    namespace: String,
    attempt: Script,
    refund: Script,
    failed_login: Script,
    fingerprints: Fingerprints,
    rates: Rates,
    failures: FailureReports,
    concurrency: Arc<Semaphore>,
}

const ATTEMPT: &str = concat!(include_str!("track.lua"), include_str!("attempt.lua"));
const REFUND: &str = include_str!("refund.lua");
const FAILED_LOGIN: &str = concat!(include_str!("track.lua"), include_str!("failed_login.lua"));

impl Limiter {
    /// Creates a limiter. Keys contain the fingerprints of emails, not the emails. Reports failed refunds to `failures`.
    #[must_use]
    pub fn new(
        redis: Client,
        namespace: &str,
        fingerprints: Fingerprints,
        rates: Rates,
        failures: FailureReports,
    ) -> Self {
        Self {
            redis,
            namespace: namespace.to_owned(),
            attempt: Script::from_lua(ATTEMPT),
            refund: Script::from_lua(REFUND),
            failed_login: Script::from_lua(FAILED_LOGIN),
            fingerprints,
            rates,
            failures,
            concurrency: Arc::new(Semaphore::new(MAX_CONCURRENT_CALLS)),
        }
    }

    /// Runs a query with a limit of concurrent calls and a timeout that includes the wait. Boxed: a login that waits for
    /// its hash should not hold memory for this future.
    async fn query<T, F: Future<Output = Result<T, Error>>>(
        &self,
        query: impl FnOnce() -> F,
    ) -> Result<T, ApiError> {
        let answer = async {
            // The semaphore is never closed.
            let _permit = self.concurrency.acquire().await;
            Box::pin(query()).await
        };
        match timeout(redis::COMMAND_TIMEOUT, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(redis::fault::timed_out().into()),
        }
    }

    async fn delete_counters(&self, keys: Vec<String>) -> Result<(), ApiError> {
        let pipeline = self.redis.pipeline();
        let lists = self.lists();
        self.query(|| async {
            let () = pipeline.del(keys.clone()).await?;
            for list in lists {
                let () = pipeline.zrem(list, keys.clone()).await?;
            }
            let () = pipeline.zrem(self.lockouts_key(), keys).await?;
            pipeline.all().await
        })
        .await
    }

    /// Checks the counters of a request and, if `is_counted`, increments them. Fails with
    /// [`ApiError::TooManyRequests`] if a counter refuses the request.
    async fn run(
        &self,
        counters: Vec<Counter>,
        is_counted: bool,
        now: DateTime<Utc>,
    ) -> Result<AttemptGuard, ApiError> {
        let mut attempt = AttemptGuard {
            redis: self.redis.clone(),
            concurrency: Arc::clone(&self.concurrency),
            script: self.refund.clone(),
            failures: self.failures.clone(),
            refunds: Vec::new(),
        };
        if !self.rates.enabled {
            return Ok(attempt);
        }
        let request = is_counted.then(|| Uuid::now_v7().simple().to_string());
        let request = request.unwrap_or_default();
        let mut arguments = vec![
            now.timestamp_millis().to_string(),
            request.clone(),
            MAX_DELAY.to_string(),
            MAX_LOCKOUTS.to_string(),
            self.lists_key(),
            self.rates.max_counters.to_string(),
        ];
        arguments.extend(counters.iter().flat_map(Counter::arguments));
        let keys = counters.iter().map(|counter| counter.key.clone());
        let keys: Vec<_> = keys.chain([self.lockouts_key()]).collect();
        let (refused_by, wait_ms, delayed_until): (usize, u64, u64) = self
            .query(|| {
                self.attempt
                    .evalsha_with_reload(&self.redis, keys, arguments)
            })
            .await?;
        if let Some(counter) = refused_by.checked_sub(1).and_then(|i| counters.get(i)) {
            let retry_after = wait_ms.div_ceil(1000);
            tracing::info!(retry_after, "Rate limited");
            return Err(ApiError::TooManyRequests(RateLimitExceeded {
                retry_after,
                limit: counter.limit,
            }));
        }
        attempt.refunds = counters
            .iter()
            .filter(|counter| counter.is_refundable)
            .map(|counter| self.refund(counter, delayed_until, &request))
            .collect();
        Ok(attempt)
    }

    fn refund(&self, counter: &Counter, delayed_until: u64, request: &str) -> Refund {
        let ttl = counter.ttl.to_string();
        let list = self.lists_key() + &ttl;
        Refund {
            keys: vec![counter.key.clone(), self.lockouts_key(), list],
            arguments: vec![delayed_until.to_string(), request.to_owned(), ttl],
        }
    }
}
