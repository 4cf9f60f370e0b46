//! The list of current lockouts, which staff can read and shorten.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use fred::interfaces::SortedSetsInterface as _;
use latchkey_shared::models::user;

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
    /// `reset-password`, `change`, `change_failed_attempts` (wrong passwords at a password change), `second_factor_failed_attempts`, `address`, `invitation`
    /// or `picture`.
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
const ACCOUNT_LIMITS: [&str; 6] = [
    "change",
    "change_failed_attempts",
    "second_factor_failed_attempts",
    "address",
    "invitation",
    "picture",
];

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

    /// Returns the current lockouts of each account.
    pub async fn account_lockouts(
        &self,
        accounts: &[&user::Model],
        now: DateTime<Utc>,
    ) -> Result<HashMap<i64, Vec<Lockout>>, ApiError> {
        let names = accounts.iter().flat_map(|user| {
            let mailbox = self.fingerprints.of_mailbox(&user.email.key());
            let of_mailbox = MAILBOX_LIMITS.map(|limit| format!("{limit}:email:{mailbox}"));
            let of_account = ACCOUNT_LIMITS.map(|limit| format!("{limit}:{}", user.id));
            let names = of_mailbox.into_iter().chain(of_account);
            names.map(|name| (user.id, name))
        });
        let (ids, names): (Vec<_>, Vec<_>) = names.unzip();
        let found = self.find_lockouts(&names, now).await?;
        let mut lockouts: HashMap<_, Vec<_>> = HashMap::new();
        for (id, lockout) in ids.into_iter().zip(found) {
            lockouts.entry(id).or_default().extend(lockout);
        }
        lockouts.retain(|_, lockouts| !lockouts.is_empty());
        Ok(lockouts)
    }

    /// Returns the current lockout with this name.
    pub async fn find_lockout(
        &self,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Lockout>, ApiError> {
        let found = self.find_lockouts(&[name.to_owned()], now).await?;
        Ok(found.into_iter().flatten().next())
    }

    /// Returns the current lockout with each name, if there is one.
    async fn find_lockouts(
        &self,
        names: &[String],
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Lockout>>, ApiError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = names.iter().map(|name| self.key(name)).collect();
        let ends: Vec<Option<f64>> = self
            .redis
            .zmscore(self.lockouts_key(), keys.clone())
            .await?;
        let lockouts = keys.iter().zip(ends).map(|(key, until)| {
            until
                .and_then(|until| self.parse_lockout(key, until))
                .filter(|lockout| now < lockout.until)
        });
        Ok(lockouts.collect())
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
