//! The list of whom a limit refuses, which staff see and can shorten.

use chrono::{DateTime, Utc};
use fred::interfaces::SortedSetsInterface as _;
use latchkey_shared::types::email::Email;

use super::{Limiter, unavailable};
use crate::http::error::ApiError;

/// How many are on the list of those who are held; of more, those that are held the longest.
pub(super) const MAX_LOCKOUTS: i64 = 10_000;

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

impl Limiter {
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

    pub(super) fn lockouts_key(&self) -> String {
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
}
