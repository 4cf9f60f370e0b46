//! How often somebody may try: counters in Redis that all replicas share, one script and one round trip a request.
//!
//! Two kinds. A window lets so many through in any span of so many seconds. The account's failed attempts count logins that did
//! not succeed since the last one that did: the first few are free, then the waits double. Strikes are counted before the
//! password is checked and forgiven after, so guessing in parallel gains nothing. What is refused counts for nothing, and
//! what ends before anybody knows whether the password was right (the service was busy, the client went away) is taken back.
//!
//! Logins have two counters for each address. The waits come from failed attempts that Redis keeps for an hour, whether or not the
//! address has an account. Failures are remembered apart, after the password was checked: past a hundred (NIST SP
//! 800-63B-4, 3.2.2) only a reset by mail opens the account to passwords again. Those of an account are kept for 90 days
//! after the last (the hundredth for ever), while they are free for 30. Those of an address without an account are kept for
//! a day.
//!
//! Clients cannot fill Redis: of the counters of client networks and of addresses without an account it keeps the newest
//! (`LIMIT_MAX_COUNTERS` of each lifetime), see `track.lua`. Counters of accounts stay. An IPv6 client counts by its /64, and
//! together with all others of its /48, which have ten times the limit.
//!
//! Whoever is refused is on a list until that ends, so that administrators see it and can end it before its time.
//!
//! When Redis does not answer, what is limited here is refused (503): guessing without a limit would be worse.

use std::{future::Future, sync::Arc};

use chrono::{DateTime, Utc};
use fred::{
    clients::Client,
    error::Error,
    interfaces::{KeysInterface as _, SortedSetsInterface as _},
    types::scripts::Script,
};
use latchkey_shared::{
    crypto::token_hash::TokenHasher,
    dependency::Refusal,
    redis,
    types::email::{Email, EmailKey},
};
use tokio::{sync::Semaphore, time::timeout};
use uuid::Uuid;

use crate::config::rates::Rates;
use crate::http::{
    client_ip::ClientIp,
    error::{ApiError, RateLimitExceeded},
};

mod attempt;
mod counters;
mod keys;
mod lockouts;

pub use attempt::AttemptGuard;
use attempt::Refund;
use counters::{Counter, Counters, Owner};
use lockouts::MAX_LOCKOUTS;
pub use lockouts::{Lockout, LockoutSubject};

/// How many count at once; the others wait with a few bytes. fred takes several KiB for what is under way, and a flood comes by
/// hundreds.
const MAX_CONCURRENT_CALLS: usize = 16;

/// The longest wait between two logins of one account, in seconds.
const LONGEST_WAIT: u32 = 900;

/// How long failures of an account are kept after the last one, in seconds: those that are free, and more of them.
const FREE_REMEMBERED: u32 = 30 * 86_400;
const REMEMBERED: u32 = 90 * 86_400;
/// How long failures of an address without an account are kept, in seconds.
const INVENTED_REMEMBERED: u32 = 86_400;
/// How long the failed attempts of logins are kept after the last one, in seconds: four times the longest wait.
const STRIKES_REMEMBERED: u32 = 3600;

/// Counts.
pub struct Limiter {
    redis: Client,
    namespace: String,
    attempt: Script,
    refund: Script,
    failed_login: Script,
    hasher: TokenHasher,
    rates: Rates,
    turns: Arc<Semaphore>,
}

/// Asks the counters of a request, then raises them.
const ATTEMPT: &str = concat!(include_str!("track.lua"), include_str!("attempt.lua"));
/// Refunds one attempt.
const REFUND: &str = include_str!("refund.lua");
/// Remembers a login that failed.
const FAILED_LOGIN: &str = concat!(include_str!("track.lua"), include_str!("failed_login.lua"));

impl Limiter {
    /// A limiter with these numbers. Addresses are hashed before they become keys.
    #[must_use]
    pub fn new(redis: Client, namespace: &str, hasher: TokenHasher, rates: Rates) -> Self {
        Self {
            redis,
            namespace: namespace.to_owned(),
            attempt: Script::from_lua(ATTEMPT),
            refund: Script::from_lua(REFUND),
            failed_login: Script::from_lua(FAILED_LOGIN),
            hasher,
            rates,
            turns: Arc::new(Semaphore::new(MAX_CONCURRENT_CALLS)),
        }
    }

    /// One login: by client IP, and by the account's failed attempts, whether or not there is such an account.
    ///
    /// # Errors
    /// When it is one too many, or Redis does not answer.
    pub async fn login(
        &self,
        client_ip: ClientIp,
        email: &Email,
        now: DateTime<Utc>,
    ) -> Result<AttemptGuard, ApiError> {
        let mut counters = Counters::default();
        self.client_windows(&mut counters, "login", client_ip, self.rates.login_ip);
        counters.lock(self.failed_key(email), self.rates);
        counters.waits(self.failed_attempts_key(email), self.rates);
        self.try_last(1, counters, now).await
    }

    /// Checks, before a login is read, whether its client IP may log in. Counts nothing.
    ///
    /// # Errors
    /// When the client is rate limited, or Redis does not answer.
    pub async fn check_login(
        &self,
        client_ip: ClientIp,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        let mut counters = Counters::default();
        self.client_windows(&mut counters, "login", client_ip, self.rates.login_ip);
        self.check(counters, now).await
    }

    /// Remembers a login that failed, after its password was checked. Redis does the same for an address with an account and
    /// for one without; how long it remembers differs.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn failed_login(
        &self,
        email: &Email,
        has_account: bool,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        if !self.rates.enabled {
            return Ok(());
        }
        let keys = vec![
            self.failed_key(email),
            self.failed_attempts_key(email),
            self.lockouts_key(),
        ];
        let arguments = vec![
            now.timestamp_millis().to_string(),
            u8::from(has_account).to_string(),
            self.rates.most_failures.to_string(),
            self.rates.free_failures.to_string(),
            INVENTED_REMEMBERED.to_string(),
            FREE_REMEMBERED.to_string(),
            REMEMBERED.to_string(),
            STRIKES_REMEMBERED.to_string(),
            self.lists_key(),
            self.rates.max_counters.to_string(),
        ];
        self.ask(|| {
            self.failed_login
                .evalsha_with_reload(&self.redis, keys, arguments)
        })
        .await
    }

    /// Forgives an account's failures, after a login that succeeded.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn reset_failures(&self, email: &Email) -> Result<(), ApiError> {
        self.forget(vec![
            self.failed_attempts_key(email),
            self.failed_key(email),
        ])
        .await
    }

    /// Forgives the wrong passwords at changes of an account's password, after the right one.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn reset_change_failures(&self, user_id: i64) -> Result<(), ApiError> {
        self.forget(vec![self.change_failed_attempts_key(user_id)])
            .await
    }

    /// Forgives all that was guessed wrong at an account, passwords and codes, after a reset.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn reset_all_failures(
        &self,
        client_ip: ClientIp,
        user_id: i64,
        email: &Email,
    ) -> Result<(), ApiError> {
        self.forget(vec![
            self.otp_key(client_ip, &email.key()),
            self.failed_attempts_key(email),
            self.failed_key(email),
            self.change_failed_attempts_key(user_id),
            self.mailbox_key("otp", &email.key()),
        ])
        .await
    }

    /// Asks Redis when it is its turn, all within the time that an answer may take. In a box, which is gone when Redis has
    /// answered: a login that waits for its hash would keep the room for it.
    async fn ask<T, F: Future<Output = Result<T, Error>>>(
        &self,
        question: impl FnOnce() -> F,
    ) -> Result<T, ApiError> {
        let answer = async {
            // Never closed.
            let _turn = self.turns.acquire().await;
            Box::pin(question()).await
        };
        match timeout(redis::COMMAND_TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(|error| unavailable(&error)),
            Err(_) => Err(unavailable(redis::fault::timed_out())),
        }
    }

    async fn forget(&self, keys: Vec<String>) -> Result<(), ApiError> {
        let pipeline = self.redis.pipeline();
        let lists = self.lists();
        self.ask(|| async {
            let () = pipeline.del(keys.clone()).await?;
            for list in lists {
                let () = pipeline.zrem(list, keys.clone()).await?;
            }
            let () = pipeline.zrem(self.lockouts_key(), keys).await?;
            pipeline.all().await
        })
        .await
    }

    /// One registration.
    ///
    /// # Errors
    /// When it is one too many, or Redis does not answer.
    pub async fn registration(
        &self,
        client_ip: ClientIp,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        let mut counters = Counters::default();
        self.client_windows(&mut counters, "register", client_ip, self.rates.register_ip);
        self.count(counters, now).await
    }

    /// One request for a code, by client IP. How many codes a mailbox gets is decided where they are sent: the answer to a
    /// request tells nothing of it, and a stranger's requests refuse none of the owner's.
    ///
    /// # Errors
    /// When it is one too many, or Redis does not answer.
    pub async fn reset_request(
        &self,
        client_ip: ClientIp,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        let mut counters = Counters::default();
        self.client_windows(&mut counters, "reset", client_ip, self.rates.reset_ip);
        self.count(counters, now).await
    }

    /// One try of a code. How often one reset may be tried is the reset's own business.
    ///
    /// # Errors
    /// When it is one too many, or Redis does not answer.
    pub async fn code(&self, client_ip: ClientIp, now: DateTime<Utc>) -> Result<(), ApiError> {
        let mut counters = Counters::default();
        self.client_windows(&mut counters, "otp", client_ip, self.rates.otp_ip);
        self.count(counters, now).await
    }

    /// One try of a code that went to a mailbox, whatever reset it is tried for and whether or not there is an account:
    /// several resets give no more guesses than these. One client network gets only some of them, so that it cannot use up
    /// those of the owner.
    ///
    /// # Errors
    /// When it is one too many, or Redis does not answer.
    pub async fn code_of(
        &self,
        client_ip: ClientIp,
        mailbox: &EmailKey,
        has_account: bool,
        now: DateTime<Utc>,
    ) -> Result<AttemptGuard, ApiError> {
        let (rates, owner) = (self.rates, Owner::of_mailbox(has_account));
        let mut counters = Counters::default();
        counters.window(self.otp_key(client_ip, mailbox), rates.otp_email_ip, owner);
        counters.window(self.mailbox_key("otp", mailbox), rates.otp_email, owner);
        self.try_last(2, counters, now).await
    }

    /// Counts one new password that is sent with a reset token, by client IP. Taken before the token is looked up.
    ///
    /// # Errors
    /// When the client is rate limited, or Redis does not answer.
    pub async fn reset_password(
        &self,
        client_ip: ClientIp,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        let mut counters = Counters::default();
        let rate = self.rates.reset_password_ip;
        self.client_windows(&mut counters, "reset-password", client_ip, rate);
        self.count(counters, now).await
    }

    /// One change of a password by somebody who is logged in. The account has failed attempts of its own for it: those of logins
    /// are anybody's to cause, and would keep the owner from it.
    ///
    /// # Errors
    /// When it is one too many, or Redis does not answer.
    pub async fn password_change(
        &self,
        user_id: i64,
        now: DateTime<Utc>,
    ) -> Result<AttemptGuard, ApiError> {
        self.try_last(1, self.password_changes(user_id), now).await
    }

    /// Checks, before a password change is read, whether its account may change the password. Counts nothing.
    ///
    /// # Errors
    /// When the account is rate limited or locked out, or Redis does not answer.
    pub async fn check_password_change(
        &self,
        user_id: i64,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        self.check(self.password_changes(user_id), now).await
    }

    fn password_changes(&self, user_id: i64) -> Counters {
        let mut counters = Counters::default();
        counters.window(
            self.account_key("change", user_id),
            self.rates.password_change,
            Owner::Fixed,
        );
        counters.failed_attempts(self.change_failed_attempts_key(user_id), self.rates);
        counters
    }

    /// One change of an account's address by its owner: a refusal tells who else has an account.
    ///
    /// # Errors
    /// When it is one too many, or Redis does not answer.
    pub async fn email_change(&self, user_id: i64, now: DateTime<Utc>) -> Result<(), ApiError> {
        let mut counters = Counters::default();
        counters.window(
            self.account_key("address", user_id),
            self.rates.email_change,
            Owner::Fixed,
        );
        self.count(counters, now).await
    }

    /// Counts one upload of a picture: by client IP, and by the account that uploads it, which a registration does not have.
    ///
    /// # Errors
    /// When the limit is exceeded, or Redis does not answer.
    pub async fn picture_upload(
        &self,
        client_ip: ClientIp,
        user_id: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        self.count(self.picture_uploads(client_ip, user_id), now)
            .await
    }

    /// Checks, before a body with a picture is read, whether the upload is within the limits. Counts nothing.
    ///
    /// # Errors
    /// When the limit is exceeded, or Redis does not answer.
    pub async fn check_picture_upload(
        &self,
        client_ip: ClientIp,
        user_id: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        self.check(self.picture_uploads(client_ip, user_id), now)
            .await
    }

    fn picture_uploads(&self, client_ip: ClientIp, user_id: Option<i64>) -> Counters {
        let mut counters = Counters::default();
        self.client_windows(&mut counters, "picture", client_ip, self.rates.picture_ip);
        if let Some(user_id) = user_id {
            counters.window(
                self.account_key("picture", user_id),
                self.rates.picture_account,
                Owner::Fixed,
            );
        }
        counters
    }

    /// Counts a try that is taken back from the last `refunded` of its counters.
    async fn try_last(
        &self,
        refunded: usize,
        counters: Counters,
        now: DateTime<Utc>,
    ) -> Result<AttemptGuard, ApiError> {
        let member = Uuid::now_v7().simple().to_string();
        let first = counters.0.len().saturating_sub(refunded);
        let kept: Vec<_> = counters.0[first..]
            .iter()
            .map(|counter| (counter.key.clone(), counter.kept))
            .collect();
        let till = self.count_as(&member, counters, now).await?;
        let refund = |(key, kept): (String, u32)| Refund {
            keys: vec![
                key,
                self.lockouts_key(),
                format!("{}{kept}", self.lists_key()),
            ],
            arguments: vec![till.to_string(), member.clone(), kept.to_string()],
        };
        Ok(AttemptGuard {
            redis: self.redis.clone(),
            turns: Arc::clone(&self.turns),
            script: self.refund.clone(),
            refunds: kept.into_iter().map(refund).collect(),
            is_committed: false,
        })
    }

    async fn count(&self, counters: Counters, now: DateTime<Utc>) -> Result<(), ApiError> {
        let member = Uuid::now_v7().simple().to_string();
        self.count_as(&member, counters, now).await.map(|_| ())
    }

    /// Checks whether the counters let a request through, and leaves them as they are.
    async fn check(&self, counters: Counters, now: DateTime<Utc>) -> Result<(), ApiError> {
        self.count_as("", counters, now).await.map(|_| ())
    }

    /// Counts; until when the strike holds others, in milliseconds, or 0.
    async fn count_as(
        &self,
        member: &str,
        counters: Counters,
        now: DateTime<Utc>,
    ) -> Result<u64, ApiError> {
        if !self.rates.enabled {
            return Ok(0);
        }
        let mut arguments = vec![
            now.timestamp_millis().to_string(),
            member.to_owned(),
            LONGEST_WAIT.to_string(),
            MAX_LOCKOUTS.to_string(),
            self.lists_key(),
            self.rates.max_counters.to_string(),
        ];
        arguments.extend(counters.0.iter().flat_map(Counter::arguments));
        let limits: Vec<_> = counters.0.iter().map(|counter| counter.limit).collect();
        let mut keys: Vec<_> = counters.0.into_iter().map(|counter| counter.key).collect();
        keys.push(self.lockouts_key());
        let (refused, wait, till): (usize, u64, u64) = self
            .ask(|| {
                self.attempt
                    .evalsha_with_reload(&self.redis, keys, arguments)
            })
            .await?;
        match refused.checked_sub(1).and_then(|index| limits.get(index)) {
            None => Ok(till),
            Some(limit) => {
                let too_many = RateLimitExceeded {
                    retry_after: wait.div_ceil(1000),
                    limit: *limit,
                };
                tracing::info!(
                    retry_after = too_many.retry_after,
                    "Refused: too many requests."
                );
                Err(ApiError::TooManyRequests(too_many))
            }
        }
    }
}

fn unavailable(refusal: impl Into<Refusal>) -> ApiError {
    ApiError::Unavailable(refusal.into().to_string())
}
