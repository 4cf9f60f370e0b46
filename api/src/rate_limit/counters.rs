//! The counters that one request raises, as the arguments of the script.

use latchkey_shared::config::rate::Rate;

use super::{REMEMBERED, STRIKES_REMEMBERED};
use crate::config::rates::Rates;

/// Counters of one request, in the order in which they are raised.
#[derive(Default)]
pub(super) struct Counters(pub Vec<Counter>);

/// One counter and what it allows.
pub(super) struct Counter {
    pub key: String,
    pub kind: Kind,
    /// How many it allows.
    pub limit: u32,
    /// The span of a window in milliseconds, or the number of free failures.
    pub span: u64,
    /// How long it is kept, in seconds.
    pub kept: u32,
    pub owner: Owner,
}

/// How a counter counts: `attempt.lua`.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Window,
    Lock,
    Waits,
    FailedAttempts,
}

/// To whom a counter belongs, which decides whether Redis may delete it when there are too many.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    /// An account by its id: no client can invent one.
    Fixed,
    /// The mailbox of an account: never deleted.
    Account,
    /// A client network, or an address of which it is not known whether it has an account.
    Anyone,
}

impl Owner {
    /// The owner of a counter of a mailbox.
    pub fn of_mailbox(has_account: bool) -> Self {
        if has_account {
            Self::Account
        } else {
            Self::Anyone
        }
    }
}

impl Counters {
    /// So many in any span.
    pub fn window(&mut self, key: String, rate: Rate, owner: Owner) {
        self.0.push(Counter {
            key,
            kind: Kind::Window,
            limit: rate.count,
            span: rate.milliseconds(),
            kept: rate.seconds,
            owner,
        });
    }

    /// The end of all tries, which is read and not counted.
    pub fn lock(&mut self, key: String, rates: Rates) {
        self.failures(key, Kind::Lock, rates, 0, Owner::Fixed);
    }

    /// Failures that have to be waited for after the first ones, without an end of all tries.
    pub fn waits(&mut self, key: String, rates: Rates) {
        self.failures(key, Kind::Waits, rates, STRIKES_REMEMBERED, Owner::Anyone);
    }

    /// The same with an end.
    pub fn failed_attempts(&mut self, key: String, rates: Rates) {
        self.failures(key, Kind::FailedAttempts, rates, REMEMBERED, Owner::Fixed);
    }

    fn failures(&mut self, key: String, kind: Kind, rates: Rates, kept: u32, owner: Owner) {
        self.0.push(Counter {
            key,
            kind,
            limit: rates.most_failures,
            span: u64::from(rates.free_failures),
            kept,
            owner,
        });
    }
}

impl Counter {
    pub fn arguments(&self) -> [String; 5] {
        let kind = match self.kind {
            Kind::Window => "window",
            Kind::Lock => "lock",
            Kind::Waits => "waits",
            Kind::FailedAttempts => "failed_attempts",
        };
        let owner = match self.owner {
            Owner::Fixed => "fixed",
            Owner::Account => "account",
            Owner::Anyone => "anyone",
        };
        [
            kind.to_owned(),
            self.limit.to_string(),
            self.span.to_string(),
            self.kept.to_string(),
            owner.to_owned(),
        ]
    }
}
