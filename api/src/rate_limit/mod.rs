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
//! a day, and of each client network for 500 addresses, so that a client that invents addresses cannot fill Redis.
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
pub use latchkey_shared::config::rate::Rate;
use latchkey_shared::{
    crypto::token_hash::TokenHasher,
    dependency::Refusal,
    redis,
    types::email::{Email, EmailKey},
};
use tokio::{sync::Semaphore, time::timeout};
use uuid::Uuid;

use crate::http::{
    client_ip::ClientIp,
    error::{ApiError, RateLimitExceeded},
};

/// How many count at once; the others wait with a few bytes. fred takes several KiB for what is under way, and a flood comes by
/// hundreds.
const MAX_CONCURRENT_CALLS: usize = 16;

/// All numbers, each with its variable.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// `LIMITS`: whether anything is limited at all.
    pub enabled: bool,
    /// `LIMIT_LOGIN_IP`: logins from one address.
    pub login_ip: Rate,
    /// `LIMIT_REGISTER_IP`: registrations tried from one address.
    pub register_ip: Rate,
    /// `LIMIT_RESET_IP`: requests for a code from one address.
    pub reset_ip: Rate,
    /// `LIMIT_OTP_IP`: codes tried from one address.
    pub otp_ip: Rate,
    /// `LIMIT_OTP_EMAIL`: wrong codes for one mailbox, whatever reset they are tried for.
    pub otp_email: Rate,
    /// `LIMIT_OTP_EMAIL_IP`: the same from one client IP.
    pub otp_email_ip: Rate,
    /// `LIMIT_RESET_PASSWORD_IP`: new passwords sent with reset tokens from one client IP.
    pub reset_password_ip: Rate,
    /// `LIMIT_PASSWORD_CHANGE`: password changes tried for one account.
    pub password_change: Rate,
    /// `LIMIT_EMAIL_CHANGE`: changes of the address tried for one account.
    pub email_change: Rate,
    /// `LIMIT_PICTURE_ACCOUNT`: pictures uploaded by one account.
    pub picture_account: Rate,
    /// `LIMIT_PICTURE_IP`: pictures uploaded from one client IP.
    pub picture_ip: Rate,
    /// `LIMIT_LOGIN_FREE_FAILURES`: failed logins of one account before waits begin.
    pub free_failures: u32,
    /// `LIMIT_LOGIN_FAILURES`: failed logins of one account before it needs a reset by mail.
    pub most_failures: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            enabled: true,
            login_ip: Rate::new(60, 60),
            register_ip: Rate::new(60, 3600),
            reset_ip: Rate::new(30, 3600),
            otp_ip: Rate::new(60, 60),
            otp_email: Rate::new(20, 86_400),
            otp_email_ip: Rate::new(10, 86_400),
            reset_password_ip: Rate::new(60, 60),
            password_change: Rate::new(10, 3600),
            email_change: Rate::new(10, 3600),
            picture_account: Rate::new(20, 3600),
            picture_ip: Rate::new(60, 3600),
            free_failures: 5,
            most_failures: 100,
        }
    }
}

/// The longest wait between two logins of one account, in seconds.
const LONGEST_WAIT: u32 = 900;

/// How long failures of an account are kept after the last one, in seconds: those that are free, and more of them.
const FREE_REMEMBERED: u32 = 30 * 86_400;
const REMEMBERED: u32 = 90 * 86_400;
/// How long failures of an address without an account are kept, in seconds.
const INVENTED_REMEMBERED: u32 = 86_400;
/// Of how many addresses without an account the failures are kept that one client network caused.
const MAX_INVENTED: u32 = 500;
/// How long the failed attempts of logins are kept after the last one, in seconds: four times the longest wait.
const STRIKES_REMEMBERED: u32 = 3600;

/// How many are on the list of those who are held; of more, those that are held the longest.
const MAX_LOCKOUTS: i64 = 10_000;

/// Somebody whom a limit holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Names it, to release it.
    pub name: String,
    /// What is refused: `login`, `failed_attempts` and `failed` (logins, after failed ones), `register`, `reset`, `otp`, `otp-ip`,
    /// `reset-password`, `change`, `change_failed_attempts` (password changes, after wrong passwords), `address`, `picture` (uploads).
    pub what: String,
    /// To whom.
    pub whom: LockoutSubject,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// Who is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockoutSubject {
    /// A client, by its network.
    ClientIp(String),
    /// A mailbox, by its fingerprint.
    Mailbox(String),
    /// An account, by its id.
    Account(i64),
}

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

/// A try that was counted before anybody knew how it ends. It is taken back unless it is said to stand: whoever was let
/// down by the service, or went away before it knew anything, has not guessed wrong.
#[must_use = "dropped, it is taken back"]
pub struct AttemptGuard {
    redis: Client,
    turns: Arc<Semaphore>,
    refund: Script,
    counters: Vec<String>,
    lockouts: String,
    arguments: [String; 3],
    stands: bool,
}

impl AttemptGuard {
    /// It counts from now on: the guess was looked at.
    pub fn stands(mut self) {
        self.stands = true;
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.stands {
            return;
        }
        let (redis, refund) = (self.redis.clone(), self.refund.clone());
        let turns = Arc::clone(&self.turns);
        let counters = std::mem::take(&mut self.counters);
        let lockouts = std::mem::take(&mut self.lockouts);
        let arguments = Vec::from(std::mem::take(&mut self.arguments));
        runtime.spawn(async move {
            // Never closed.
            let _turn = turns.acquire().await;
            for counter in counters {
                let keys = vec![counter, lockouts.clone()];
                let refunded =
                    Box::pin(refund.evalsha_with_reload(&redis, keys, arguments.clone()));
                let done: Result<(), _> = refunded.await;
                if let Err(error) = done {
                    tracing::warn!(%error, "A try that came to nothing was left to count.");
                }
            }
        });
    }
}

/// Counters of one request, each with what it allows.
#[derive(Default)]
struct Counters {
    keys: Vec<String>,
    arguments: Vec<String>,
    limits: Vec<u32>,
}

/// Asks the counters of a request, then raises them.
const ATTEMPT: &str = include_str!("attempt.lua");
/// Refunds one attempt.
const REFUND: &str = include_str!("refund.lua");
/// Remembers a login that failed.
const FAILED_LOGIN: &str = include_str!("failed_login.lua");

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
        counters.window(self.ip_key("login", client_ip), self.rates.login_ip);
        counters.lock(self.failed_key(email), self.rates);
        counters.waits(self.failed_attempts_key(email), self.rates);
        self.try_one(counters, now).await
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
        counters.window(self.ip_key("login", client_ip), self.rates.login_ip);
        self.check(counters, now).await
    }

    /// Remembers a login that failed, after its password was checked. Redis does the same for an address with an account and
    /// for one without; how long it remembers differs.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn failed_login(
        &self,
        client_ip: ClientIp,
        email: &Email,
        has_account: bool,
        now: DateTime<Utc>,
    ) -> Result<(), ApiError> {
        if !self.rates.enabled {
            return Ok(());
        }
        let keys = vec![self.failed_key(email), self.ip_key("failed", client_ip)];
        let arguments = vec![
            now.timestamp_millis().to_string(),
            u8::from(has_account).to_string(),
            self.rates.most_failures.to_string(),
            self.rates.free_failures.to_string(),
            INVENTED_REMEMBERED.to_string(),
            FREE_REMEMBERED.to_string(),
            REMEMBERED.to_string(),
            MAX_INVENTED.to_string(),
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

    /// Who is held at the moment, the longest first, at most so many.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn held(&self, now: DateTime<Utc>, most: i64) -> Result<Vec<Lockout>, ApiError> {
        let held: Vec<(String, f64)> = self
            .redis
            .zrevrangebyscore(
                self.lockouts_key(),
                "+inf",
                format!("({}", now.timestamp_millis()),
                true,
                Some((0, most)),
            )
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(held
            .into_iter()
            .filter_map(|(key, until)| self.read(&key, until))
            .collect())
    }

    /// By what an account is held, if by anything.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn account_lockouts(
        &self,
        id: i64,
        email: &Email,
        now: DateTime<Utc>,
    ) -> Result<Vec<Lockout>, ApiError> {
        let mailbox = self.hasher.fingerprint(&email.key());
        let mut held = Vec::new();
        for what in ["failed_attempts", "failed", "otp"] {
            held.extend(
                self.find_lockout(&format!("{what}:email:{mailbox}"), now)
                    .await?,
            );
        }
        for what in ["change", "change_failed_attempts", "address", "picture"] {
            held.extend(self.find_lockout(&format!("{what}:{id}"), now).await?);
        }
        Ok(held)
    }

    /// Who is held by this name, if anybody is.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn find_lockout(
        &self,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Lockout>, ApiError> {
        let key = format!("{}:limit:{name}", self.namespace);
        let until: Option<f64> = self
            .redis
            .zscore(self.lockouts_key(), key.as_str())
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(until
            .and_then(|until| self.read(&key, until))
            .filter(|held| now < held.until))
    }

    /// Ends a limit before its time.
    ///
    /// # Errors
    /// When nobody is held by that name, or Redis does not answer.
    pub async fn release(&self, name: &str) -> Result<(), ApiError> {
        let key = format!("{}:limit:{name}", self.namespace);
        let listed: i64 = self
            .redis
            .zrem(self.lockouts_key(), key.as_str())
            .await
            .map_err(|error| unavailable(&error))?;
        // Only what is on the list is a counter to be forgotten.
        if listed == 0 {
            return Err(ApiError::NotFound);
        }
        let mut keys = vec![key];
        // Waits and lock come from the same failures, and end together.
        if let Some(address) = name
            .strip_prefix("failed:")
            .or(name.strip_prefix("failed_attempts:"))
        {
            keys.extend(
                ["failed", "failed_attempts"]
                    .map(|what| format!("{}:limit:{what}:{address}", self.namespace)),
            );
        }
        self.forget(keys).await
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
        self.ask(|| async {
            let () = pipeline.del(keys.clone()).await?;
            let () = pipeline.zrem(self.lockouts_key(), keys).await?;
            pipeline.all().await
        })
        .await
    }

    fn lockouts_key(&self) -> String {
        format!("{}:limit:held", self.namespace)
    }

    /// Takes a key apart, as it stands on the list with the moment of its end.
    fn read(&self, key: &str, until: f64) -> Option<Lockout> {
        let name = key.strip_prefix(&format!("{}:limit:", self.namespace))?;
        let (what, whom) = name.split_once(':')?;
        let whom = match whom.split_once(':') {
            Some(("ip", network)) => LockoutSubject::ClientIp(network.to_owned()),
            // A counter of one client network has that behind a slash.
            Some(("email", mailbox)) => {
                let fingerprint = mailbox.split('/').next().unwrap_or_default();
                LockoutSubject::Mailbox(fingerprint.to_owned())
            }
            _ => LockoutSubject::Account(whom.parse().ok()?),
        };
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of our time")]
        let until = DateTime::from_timestamp_millis(until as i64)?;
        Some(Lockout {
            name: name.to_owned(),
            what: what.to_owned(),
            whom,
            until,
        })
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
        counters.window(self.ip_key("register", client_ip), self.rates.register_ip);
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
        counters.window(self.ip_key("reset", client_ip), self.rates.reset_ip);
        self.count(counters, now).await
    }

    /// One try of a code. How often one reset may be tried is the reset's own business.
    ///
    /// # Errors
    /// When it is one too many, or Redis does not answer.
    pub async fn code(&self, client_ip: ClientIp, now: DateTime<Utc>) -> Result<(), ApiError> {
        let mut counters = Counters::default();
        counters.window(self.ip_key("otp", client_ip), self.rates.otp_ip);
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
        now: DateTime<Utc>,
    ) -> Result<AttemptGuard, ApiError> {
        let mut counters = Counters::default();
        counters.window(self.otp_key(client_ip, mailbox), self.rates.otp_email_ip);
        counters.window(self.mailbox_key("otp", mailbox), self.rates.otp_email);
        let refunded = counters.keys.clone();
        self.try_several(counters, refunded, now).await
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
        counters.window(
            self.ip_key("reset-password", client_ip),
            self.rates.reset_password_ip,
        );
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
        self.try_one(self.password_changes(user_id), now).await
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
        counters.window(self.ip_key("picture", client_ip), self.rates.picture_ip);
        if let Some(user_id) = user_id {
            counters.window(
                self.account_key("picture", user_id),
                self.rates.picture_account,
            );
        }
        counters
    }

    /// Counts a try, the last of whose counters is the one to be taken back.
    async fn try_one(
        &self,
        counters: Counters,
        now: DateTime<Utc>,
    ) -> Result<AttemptGuard, ApiError> {
        let refunded = counters.keys.last().cloned().into_iter().collect();
        self.try_several(counters, refunded, now).await
    }

    /// Counts a try, with the counters from which it is taken back.
    async fn try_several(
        &self,
        counters: Counters,
        refunded: Vec<String>,
        now: DateTime<Utc>,
    ) -> Result<AttemptGuard, ApiError> {
        let kept = counters.arguments.last().cloned().unwrap_or_default();
        let member = Uuid::now_v7().simple().to_string();
        let till = self.count_as(&member, counters, now).await?;
        Ok(AttemptGuard {
            redis: self.redis.clone(),
            turns: Arc::clone(&self.turns),
            refund: self.refund.clone(),
            counters: refunded,
            lockouts: self.lockouts_key(),
            arguments: [till.to_string(), member, kept],
            stands: false,
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
        ];
        arguments.extend(counters.arguments);
        let mut keys = counters.keys;
        keys.push(self.lockouts_key());
        let (refused, wait, till): (usize, u64, u64) = self
            .ask(|| {
                self.attempt
                    .evalsha_with_reload(&self.redis, keys, arguments)
            })
            .await?;
        match refused
            .checked_sub(1)
            .and_then(|index| counters.limits.get(index))
        {
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

    fn ip_key(&self, what: &str, client_ip: ClientIp) -> String {
        format!("{}:limit:{what}:ip:{}", self.namespace, client_ip.network())
    }

    fn email_key(&self, what: &str, email: &Email) -> String {
        self.mailbox_key(what, &email.key())
    }

    fn mailbox_key(&self, what: &str, mailbox: &EmailKey) -> String {
        format!(
            "{}:limit:{what}:email:{}",
            self.namespace,
            self.hasher.fingerprint(mailbox)
        )
    }

    /// Wrong codes for a mailbox from one client network.
    fn otp_key(&self, client_ip: ClientIp, mailbox: &EmailKey) -> String {
        format!(
            "{}/{}",
            self.mailbox_key("otp-ip", mailbox),
            client_ip.network()
        )
    }

    fn account_key(&self, what: &str, user_id: i64) -> String {
        format!("{}:limit:{what}:{user_id}", self.namespace)
    }

    fn change_failed_attempts_key(&self, user_id: i64) -> String {
        self.account_key("change_failed_attempts", user_id)
    }

    fn failed_attempts_key(&self, email: &Email) -> String {
        self.email_key("failed_attempts", email)
    }

    fn failed_key(&self, email: &Email) -> String {
        self.email_key("failed", email)
    }
}

impl Counters {
    /// So many in any span.
    fn window(&mut self, key: String, rate: Rate) {
        self.add(key, "window", rate.count, rate.milliseconds(), rate.seconds);
    }

    /// The end of all tries, which is read and not counted.
    fn lock(&mut self, key: String, rates: Rates) {
        self.add(key, "lock", rates.most_failures, 0, 0);
    }

    /// Failures that have to be waited for after the first ones, without an end of all tries.
    fn waits(&mut self, key: String, rates: Rates) {
        let free = u64::from(rates.free_failures);
        self.add(key, "waits", rates.most_failures, free, STRIKES_REMEMBERED);
    }

    /// The same with an end.
    fn failed_attempts(&mut self, key: String, rates: Rates) {
        let free = u64::from(rates.free_failures);
        self.add(
            key,
            "failed_attempts",
            rates.most_failures,
            free,
            REMEMBERED,
        );
    }

    fn add(&mut self, key: String, kind: &str, limit: u32, span: u64, kept: u32) {
        self.keys.push(key);
        self.arguments.extend([
            kind.to_owned(),
            limit.to_string(),
            span.to_string(),
            kept.to_string(),
        ]);
        self.limits.push(limit);
    }
}

fn unavailable(refusal: impl Into<Refusal>) -> ApiError {
    ApiError::Unavailable(refusal.into().to_string())
}
