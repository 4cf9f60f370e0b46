//! The line that a delivery leaves in the log.

use latchkey_shared::models::mail;
use tokio::time::Instant;

use crate::delivery::Outcome;

/// The one line of a delivery. The reason names no recipient: see [`crate::transport::redaction`].
pub(super) fn line(mail: &mail::Model, outcome: Outcome, reason: &str, started: Instant) {
    let attempts = mail.attempts;
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Outcome::Sent => tracing::info!(attempts, duration_ms, "A mail was sent."),
        Outcome::PutOff => {
            tracing::warn!(
                attempts,
                duration_ms,
                reason,
                "A mail is to be tried again."
            );
        }
        Outcome::GivenBack => {
            tracing::info!(
                attempts,
                duration_ms,
                "A mail was given back: the worker stops."
            );
        }
        Outcome::Failed => tracing::warn!(attempts, duration_ms, reason, "A mail failed for good."),
        Outcome::Suppressed => tracing::warn!(attempts, duration_ms, reason, "Mail suppressed"),
        Outcome::Expired => tracing::warn!(attempts, duration_ms, reason, "A mail expired."),
        Outcome::Cancelled | Outcome::NothingToDo => {
            tracing::info!(attempts, duration_ms, reason, "A mail was cancelled.");
        }
    }
}
