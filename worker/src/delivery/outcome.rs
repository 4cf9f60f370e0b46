//! The results of deliveries.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    dependency::Refusal,
    models::{mail::MailState, password_reset},
};

use crate::transport::SendError;

/// The outcome of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The SMTP server accepted the mail.
    Sent,
    /// The mail does not exist, is not due, has ended, or is claimed by another worker.
    NotClaimed,
    /// The mail will be tried again.
    Deferred,
    /// The mail can never be delivered.
    Failed,
    /// The mail expired before delivery.
    Expired,
    /// The mail has no recipient any more.
    Cancelled,
    /// The budget of the mailbox is used up.
    Suppressed,
    /// The worker is stopping and released its claim.
    Released,
}

impl Outcome {
    /// Returns the value of the metrics label `outcome`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::NotClaimed => "not_claimed",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Suppressed => "suppressed",
            Self::Released => "released",
        }
    }

    /// Returns the outcome of a mail that ended in `state` without being sent.
    pub(super) fn of_end(state: MailState) -> Self {
        match state {
            MailState::Expired => Self::Expired,
            MailState::Cancelled => Self::Cancelled,
            MailState::Suppressed => Self::Suppressed,
            _ => Self::Failed,
        }
    }
}

/// The result of an attempt, before it is recorded. Texts are reasons.
pub(super) enum DeliveryResult {
    /// Sent, with the reset whose code the mail carried.
    Sent(Option<password_reset::Model>),
    Ended(MailState, String),
    /// To be tried again after the usual back-off.
    Retry(String),
    DeferredUntil(DateTime<Utc>, String),
    SendFailed(SendError),
    /// To be tried again soon, as the failure says nothing about the SMTP server: what is missing, and why Redis does not
    /// provide it.
    RedisUnavailable(&'static str, Refusal),
    /// The worker is stopping.
    Released,
    /// Another worker has claimed the mail.
    ClaimLost,
}

impl DeliveryResult {
    pub(super) fn ended(state: MailState, reason: &str) -> Self {
        Self::Ended(state, reason.to_owned())
    }

    /// Returns the result of a mail that waits for Redis.
    pub(super) fn redis_unavailable(missing: &'static str, error: &fred::error::Error) -> Self {
        Self::RedisUnavailable(missing, error.into())
    }

    pub(super) fn expired() -> Self {
        Self::ended(MailState::Expired, "expired before delivery")
    }
}
