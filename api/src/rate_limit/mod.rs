//! Rate limits and lockouts: counters in Redis, shared by all replicas. Each request costs one script call.
//!
//! There are two kinds of counters. A window allows a number of requests in any span of some seconds. Counters of failed
//! attempts count since the last success: the first few have no delay, then the delay doubles. A failed attempt is counted
//! before the password is checked and reset after a success, so that parallel guesses gain nothing. Requests that are
//! refused are not counted. An attempt is refunded if it ends before the password is checked, for example because the
//! service is busy or the client disconnects.
//!
//! Logins have two counters for each email. Redis keeps the failed attempts, which cause the delays, for an hour, whether
//! or not an account exists. Failures are counted separately, after the password is checked: after a hundred of them (NIST
//! SP 800-63B-4, 3.2.2), only a password reset unlocks the account. Redis keeps the failures of an account for 90 days
//! after the last one, those without a delay for 30 days, and a lock without end. It keeps the failures of an email
//! without an account for a day.
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
use latchkey_shared::{crypto::token_hash::Fingerprints, redis, types::email::Email};
use tokio::{sync::Semaphore, time::timeout};
use uuid::Uuid;

use crate::config::rates::Rates;
use crate::http::{
    client_ip::ClientIp,
    error::{ApiError, RateLimitExceeded},
};

mod attempt;
mod counter;
mod keys;
mod limit;
mod lockouts;

pub use attempt::AttemptGuard;
use attempt::Refund;
use counter::Counter;
pub use limit::Limit;
use lockouts::MAX_LOCKOUTS;
pub use lockouts::{Lockout, LockoutSubject};

/// Maximum number of concurrent script calls. fred takes several KiB for each call in flight; a waiting caller takes a few
/// bytes.
const MAX_CONCURRENT_CALLS: usize = 16;

/// Maximum delay after a failed attempt, in seconds.
const MAX_DELAY: u32 = 900;

/// Lifetimes of the failures of an account after the last one, in seconds: without a delay, and beyond.
const FREE_FAILURES_TTL: u32 = 30 * 86_400;
const FAILURES_TTL: u32 = 90 * 86_400;
/// Lifetime of the failures of an email without an account, in seconds.
const UNKNOWN_EMAIL_FAILURES_TTL: u32 = 86_400;
/// Lifetime of the failed attempts at logins after the last one, in seconds: four times [`MAX_DELAY`].
const FAILED_ATTEMPTS_TTL: u32 = 3600;

/// Counts requests and failed attempts in Redis.
pub struct Limiter {
    redis: Client,
    namespace: String,
    attempt: Script,
    refund: Script,
    failed_login: Script,
    fingerprints: Fingerprints,
    rates: Rates,
    concurrency: Arc<Semaphore>,
}

const ATTEMPT: &str = concat!(include_str!("track.lua"), include_str!("attempt.lua"));
const REFUND: &str = include_str!("refund.lua");
const FAILED_LOGIN: &str = concat!(include_str!("track.lua"), include_str!("failed_login.lua"));

impl Limiter {
    /// Creates a limiter. Emails are hashed with `hasher` before they become part of keys.
    #[must_use]
    pub fn new(redis: Client, namespace: &str, fingerprints: Fingerprints, rates: Rates) -> Self {
        Self {
            redis,
            namespace: namespace.to_owned(),
            attempt: Script::from_lua(ATTEMPT),
            refund: Script::from_lua(REFUND),
            failed_login: Script::from_lua(FAILED_LOGIN),
            fingerprints,
            rates,
            concurrency: Arc::new(Semaphore::new(MAX_CONCURRENT_CALLS)),
        }
    }

    /// Records a failed login after the password check. Redis runs the same commands whether or not the email has an
    /// account. Only the lifetime of the counters differs.
    pub async fn record_failed_login(
        &self,
        email: &Email,
        has_account: bool,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        if !self.rates.enabled {
            return Ok(());
        }
        let keys = vec![
            self.failures_key(email),
            self.failed_attempts_key(email),
            self.lockouts_key(),
        ];
        let arguments = vec![
            now.timestamp_millis().to_string(),
            u8::from(has_account).to_string(),
            self.rates.max_failures.to_string(),
            self.rates.free_failures.to_string(),
            UNKNOWN_EMAIL_FAILURES_TTL.to_string(),
            FREE_FAILURES_TTL.to_string(),
            FAILURES_TTL.to_string(),
            FAILED_ATTEMPTS_TTL.to_string(),
            self.lists_key(),
            self.rates.max_counters.to_string(),
        ];
        self.query(|| {
            self.failed_login
                .evalsha_with_reload(&self.redis, keys, arguments)
        })
        .await
    }

    /// Resets the failed logins of an account, after a successful login.
    pub async fn reset_failures(&self, email: &Email) -> Result<(), ApiError> {
        let keys = [self.failed_attempts_key(email), self.failures_key(email)];
        self.delete_counters(keys.into()).await
    }

    /// Resets the failed password changes of an account, after a correct password.
    pub async fn reset_change_failures(&self, user_id: i64) -> Result<(), ApiError> {
        self.delete_counters(vec![self.change_failed_attempts_key(user_id)])
            .await
    }

    /// Resets all failed attempts at an account, with passwords and codes, after a password reset.
    pub async fn reset_all_failures(
        &self,
        client_ip: ClientIp,
        user_id: i64,
        email: &Email,
    ) -> Result<(), ApiError> {
        self.delete_counters(vec![
            self.otp_key(client_ip, &email.key()),
            self.failed_attempts_key(email),
            self.failures_key(email),
            self.change_failed_attempts_key(user_id),
            self.mailbox_key("otp", &email.key()),
        ])
        .await
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
