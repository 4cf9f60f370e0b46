//! The line that a delivery leaves in the log.

use latchkey_shared::mail;
use tokio::time::Instant;

use super::Outcome;

/// The one line of a delivery. Servers like to repeat the recipient, which belongs in the row and not in a log.
pub(super) fn line(mail: &mail::Model, outcome: Outcome, reason: &str, started: Instant) {
    let attempts = mail.attempts;
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let reason = without_recipient(reason, &mail.recipient);
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
        Outcome::Expired => tracing::warn!(attempts, duration_ms, reason, "A mail expired."),
        Outcome::Cancelled | Outcome::NothingToDo => {
            tracing::info!(attempts, duration_ms, reason, "A mail was cancelled.");
        }
    }
}

fn without_recipient(reason: &str, recipient: &str) -> String {
    let person = recipient
        .rsplit_once('@')
        .map_or(recipient, |(local, _)| local);
    reason
        .split_whitespace()
        .map(|word| {
            let names_somebody = word.contains('@')
                || (!person.is_empty() && word.to_lowercase().contains(&person.to_lowercase()));
            if names_somebody { "…" } else { word }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_reason_names_no_recipient() {
        let words = "permanent error (550): 5.1.1 <Ada@example.com>: ada unknown here";
        assert_eq!(
            without_recipient(words, "ada@example.com"),
            "permanent error (550): 5.1.1 … … unknown here"
        );
    }
}
