//! Delays and locks after failed logins, password changes and second factors.
//!
//! Failed attempts count since the last success. The first few have no delay, then the delay doubles up to [`MAX_DELAY`]
//! (`attempt.lua`). An attempt is counted before the password is checked and reset after a success, so that parallel guesses gain
//! nothing.
//!
//! Logins have two counters for each email. Redis keeps the failed attempts, which cause the delays, for an hour, whether
//! or not an account exists. Failures are counted separately, after the password is checked: after a hundred of them (NIST
//! SP 800-63B-4, 3.2.2), only a password reset unlocks the account. Redis keeps the failures of an account for 90 days
//! after the last one, those without a delay for 30 days, and a lock without end. It keeps the failures of an email
//! without an account for a day.

use chrono::{DateTime, Utc};
use latchkey_shared::types::email::Email;

use super::Limiter;
use crate::http::{client_ip::ClientIp, error::ApiError};

/// Maximum delay after a failed attempt, in seconds.
pub(super) const MAX_DELAY: u32 = 900;

/// Lifetimes of the failures of an account after the last one, in seconds: without a delay, and beyond.
const FREE_FAILURES_TTL: u32 = 30 * 86_400;
pub(super) const FAILURES_TTL: u32 = 90 * 86_400;
/// Lifetime of the failures of an email without an account, in seconds.
pub(super) const UNKNOWN_EMAIL_FAILURES_TTL: u32 = 86_400;
/// Lifetime of the failed attempts at logins after the last one, in seconds: four times [`MAX_DELAY`].
pub(super) const FAILED_ATTEMPTS_TTL: u32 = 3600;

impl Limiter {
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

    /// Resets the failed attempts at the second factor of an account, after a right one.
    pub async fn reset_second_factor_failures(&self, user_id: i64) -> Result<(), ApiError> {
        self.delete_counters(vec![self.second_factor_failed_attempts_key(user_id)])
            .await
    }

    /// Resets all failed attempts at an account, with passwords and codes, after a password reset. Those at its second factor stay: access to
    /// the mailbox must not allow more of them.
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
}
