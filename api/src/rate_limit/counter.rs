//! The counters of a rate-limited request, as arguments of the script `attempt.lua`.

use latchkey_shared::config::rate::Rate;

use super::failed_attempts::{FAILED_ATTEMPTS_TTL, FAILURES_TTL};
use crate::config::rates::Rates;

/// A counter in Redis and its limit.
pub(super) struct Counter {
    pub key: String,
    pub kind: Kind,
    /// Maximum count.
    pub limit: u32,
    /// Length of a window in milliseconds, or number of failed attempts before the first delay.
    pub span: u64,
    /// Lifetime after the last update, in seconds.
    pub ttl: u32,
    pub owner: Owner,
    /// Whether an uncommitted attempt is subtracted again.
    pub is_refundable: bool,
}

/// The kind of a counter, see `attempt.lua`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Window,
    Lock,
    Delays,
    FailedAttempts,
}

/// The owner of a counter. It decides whether Redis may evict the counter, see `track.lua`.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    /// An account, by its id. Clients cannot create such counters at will, so no list tracks them.
    AccountId,
    /// The mailbox of an account. Never evicted.
    AccountMailbox,
    /// A client network, or an email that may have no account.
    Unverified,
}

impl Owner {
    pub fn of_mailbox(has_account: bool) -> Self {
        if has_account {
            Self::AccountMailbox
        } else {
            Self::Unverified
        }
    }
}

impl Counter {
    /// Returns a sliding window that allows `rate`.
    pub fn window(key: String, rate: Rate, owner: Owner) -> Self {
        Self {
            key,
            kind: Kind::Window,
            limit: rate.count,
            span: rate.milliseconds(),
            ttl: rate.seconds,
            owner,
            is_refundable: false,
        }
    }

    pub fn refundable(self) -> Self {
        Self {
            is_refundable: true,
            ..self
        }
    }

    /// Returns the lock of an email after too many failed logins. `attempt.lua` only reads it.
    pub fn lock(key: String, rates: &Rates) -> Self {
        Self::failures(key, Kind::Lock, rates, 0, Owner::AccountId)
    }

    /// Returns a counter of failed attempts with growing delays.
    pub fn delays(key: String, rates: &Rates) -> Self {
        let ttl = FAILED_ATTEMPTS_TTL;
        Self::failures(key, Kind::Delays, rates, ttl, Owner::Unverified)
    }

    /// Returns a counter of failed attempts with growing delays and a lock.
    pub fn failed_attempts(key: String, rates: &Rates) -> Self {
        let kind = Kind::FailedAttempts;
        Self::failures(key, kind, rates, FAILURES_TTL, Owner::AccountId)
    }

    fn failures(key: String, kind: Kind, rates: &Rates, ttl: u32, owner: Owner) -> Self {
        Self {
            key,
            kind,
            limit: rates.max_failures,
            span: rates.free_failures.into(),
            ttl,
            owner,
            is_refundable: kind != Kind::Lock,
        }
    }

    /// Returns the arguments of this counter for `attempt.lua`.
    pub fn arguments(&self) -> [String; 5] {
        let kind = match self.kind {
            Kind::Window => "window",
            Kind::Lock => "lock",
            Kind::Delays => "delays",
            Kind::FailedAttempts => "failed_attempts",
        };
        let owner = match self.owner {
            Owner::AccountId => "account_id",
            Owner::AccountMailbox => "account_mailbox",
            Owner::Unverified => "unverified",
        };
        [
            kind.to_owned(),
            self.limit.to_string(),
            self.span.to_string(),
            self.ttl.to_string(),
            owner.to_owned(),
        ]
    }
}
