//! The list of current lockouts, which staff can read and shorten.

use chrono::{DateTime, Utc};
use fred::interfaces::SortedSetsInterface as _;
use latchkey_shared::types::email::Email;

use super::Limiter;
use crate::http::error::ApiError;

/// Maximum length of the list of lockouts. The lockouts that end last are kept.
pub(super) const MAX_LOCKOUTS: i64 = 10_000;

/// A client, mailbox or account that is rate limited or locked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// Identifies the lockout: the key of its counter without the namespace.
    pub name: String,
    /// The exceeded limit: `login`, `failed_attempts` and `failed` (failed logins), `register`, `reset`, `otp`, `otp-ip`,
    /// `reset-password`, `change`, `change_failed_attempts` (wrong passwords at a password change), `address` or `picture`.
    pub limit: String,
    /// The client, mailbox or account.
    pub subject: LockoutSubject,
    /// When the lockout ends.
    pub until: DateTime<Utc>,
}

/// The subject of a lockout.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LockoutSubject {
    /// The network of a client.
    ClientIp(String),
    /// The fingerprint of a mailbox.
    Mailbox(String),
    /// The id of an account.
    Account(i64),
}

/// The limits of a mailbox whose lockouts are those of its account.
const MAILBOX_LIMITS: [&str; 3] = ["failed_attempts", "failed", "otp"];
/// The limits of an account.
const ACCOUNT_LIMITS: [&str; 4] = ["change", "change_failed_attempts", "address", "picture"];

impl Lockout {
    /// Returns whether this is one of the lockouts that [`Limiter::account_lockouts`] finds for its account.
    #[must_use]
    pub fn is_of_account(&self) -> bool {
        match self.subject {
            LockoutSubject::ClientIp(_) => false,
            // A name with a network is that of one client.
            LockoutSubject::Mailbox(_) => {
                MAILBOX_LIMITS.contains(&self.limit.as_str()) && !self.name.contains('/')
            }
            LockoutSubject::Account(_) => ACCOUNT_LIMITS.contains(&self.limit.as_str()),
        }
    }
}

impl Limiter {
    /// Returns at most `count` current lockouts. Those that end last come first.
    pub async fn list_lockouts(
        &self,
        now: DateTime<Utc>,
        count: i64,
    ) -> Result<Vec<Lockout>, ApiError> {
        let after_now = format!("({}", now.timestamp_millis());
        let key = self.lockouts_key();
        let page = Some((0, count));
        let listed: Vec<(String, f64)> = self
            .redis
            .zrevrangebyscore(key, "+inf", after_now, true, page)
            .await?;
        Ok(listed
            .into_iter()
            .filter_map(|(key, until)| self.parse_lockout(&key, until))
            .collect())
    }

    /// Returns the current lockouts of an account.
    pub async fn account_lockouts(
        &self,
        user_id: i64,
        email: &Email,
        now: DateTime<Utc>,
    ) -> Result<Vec<Lockout>, ApiError> {
        let mailbox = self.fingerprints.of_mailbox(&email.key());
        let names = MAILBOX_LIMITS
            .map(|limit| format!("{limit}:email:{mailbox}"))
            .into_iter()
            .chain(ACCOUNT_LIMITS.map(|limit| format!("{limit}:{user_id}")));
        let mut lockouts = Vec::new();
        for name in names {
            lockouts.extend(self.find_lockout(&name, now).await?);
        }
        Ok(lockouts)
    }

    /// Returns the current lockout with this name.
    pub async fn find_lockout(
        &self,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Lockout>, ApiError> {
        let key = self.key(name);
        let until: Option<f64> = self.redis.zscore(self.lockouts_key(), key.as_str()).await?;
        Ok(until
            .and_then(|until| self.parse_lockout(&key, until))
            .filter(|lockout| now < lockout.until))
    }

    /// Ends a lockout early. Returns [`ApiError::NotFound`] if no lockout has this name.
    pub async fn unlock(&self, name: &str) -> Result<(), ApiError> {
        let key = self.key(name);
        let listed: i64 = self.redis.zrem(self.lockouts_key(), key.as_str()).await?;
        // Only keys on the list are counters that may be deleted.
        if listed == 0 {
            return Err(ApiError::NotFound);
        }
        let mut keys = vec![key];
        // Delays and lock come from the same failed logins and end together.
        if let Some(("failed" | "failed_attempts", email)) = name.split_once(':') {
            keys.extend(
                ["failed", "failed_attempts"]
                    .map(|limit| self.key(format_args!("{limit}:{email}"))),
            );
        }
        self.delete_counters(keys).await
    }

    /// Parses an entry of the list: the key of a counter, and the end of the lockout in milliseconds.
    fn parse_lockout(&self, key: &str, until: f64) -> Option<Lockout> {
        let name = key.strip_prefix(&self.key(""))?;
        let (limit, subject) = name.split_once(':')?;
        let subject = match subject.split_once(':') {
            Some(("ip", network)) => LockoutSubject::ClientIp(network.to_owned()),
            // The key of a counter per mailbox and client network ends with a slash and the network.
            Some(("email", mailbox)) => {
                let fingerprint = mailbox.split('/').next().unwrap_or_default();
                LockoutSubject::Mailbox(fingerprint.to_owned())
            }
            _ => LockoutSubject::Account(subject.parse().ok()?),
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the scripts store whole milliseconds"
        )]
        let until = DateTime::from_timestamp_millis(until as i64)?;
        Some(Lockout {
            name: name.to_owned(),
            limit: limit.to_owned(),
            subject,
            until,
        })
    }
}
