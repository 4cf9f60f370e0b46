//! Runs a delivery under its claim and records the result: in the database, the log and the metrics.

use std::{convert::Infallible, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    database,
    models::{
        mail::{
            self,
            delivery_health::{self, FailedAttempt},
        },
        password_reset,
    },
};
use sea_orm::DbErr;
use tokio::time::{self, Instant};
use uuid::Uuid;

use crate::{
    delivery::{
        Inner,
        back_off::back_off,
        batches::SentMail,
        outcome::{DeliveryResult, Outcome},
    },
    transport::SendError,
};

/// The interval between two renewals of a claim.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(2);
/// The pause after a failed renewal.
const RENEWAL_RETRY_DELAY: Duration = Duration::from_millis(200);
/// The longest back-off of a mail that waits for Redis. It is short, as codes expire within minutes.
const MAX_REDIS_BACK_OFF: TimeDelta = TimeDelta::seconds(5);

impl Inner {
    /// Attempts a delivery, renews its claim during the attempt, and records the result.
    pub(super) async fn run(
        &self,
        mail: &mut mail::Model,
        claimant: Uuid,
    ) -> Result<Outcome, DbErr> {
        let (started, _in_flight) = (Instant::now(), self.metrics.begin());
        let id = mail.id;
        let result = tokio::select! {
            result = self.attempt_under_claim(mail, claimant) => result?,
            never = self.keep_claim(id, claimant) => match never {},
        };
        let waits_for_redis = if let DeliveryResult::RedisUnavailable(_, refusal) = &result {
            self.redis_failures.report(refusal.clone());
            true
        } else {
            false
        };
        let (outcome, reason) = self.record(mail, claimant, result).await?;
        match outcome {
            Outcome::NotClaimed => return Ok(outcome),
            // The health check logs the outage once.
            _ if waits_for_redis => {
                tracing::debug!(attempts = mail.attempts, reason, "Mail deferred");
            }
            _ => log(mail, outcome, &reason, started),
        }
        self.metrics
            .record(mail, outcome, started.elapsed(), self.clock.now());
        Ok(outcome)
    }

    /// Attempts a delivery, and records a sent mail while the claim is still renewed. If the record of the last attempt failed, only
    /// records the mail.
    async fn attempt_under_claim(
        &self,
        mail: &mut mail::Model,
        claimant: Uuid,
    ) -> Result<DeliveryResult, DbErr> {
        let result = match self.accepted.take(mail.id) {
            Some(result) => result,
            None => self.attempt(mail, claimant).await?,
        };
        if let DeliveryResult::Sent(reset) = &result
            && let Err(error) = self.record_sent(mail.id, reset.as_ref()).await
        {
            self.accepted.add(mail.id, reset.clone());
            return Err(error);
        }
        Ok(result)
    }

    /// Stores a result other than `Sent` in the row. Returns the outcome and its reason.
    async fn record(
        &self,
        mail: &mail::Model,
        claimant: Uuid,
        result: DeliveryResult,
    ) -> Result<(Outcome, String), DbErr> {
        let (db, id) = (&self.db, mail.id);
        let (next, reason) = match result {
            DeliveryResult::Sent(_) => return Ok((Outcome::Sent, String::new())),
            DeliveryResult::ClaimLost => return Ok((Outcome::NotClaimed, String::new())),
            DeliveryResult::Ended(state, reason) => {
                mail::end(db, id, claimant, state, &reason).await?;
                return Ok((Outcome::of_end(state), reason));
            }
            DeliveryResult::SendFailed(error) => {
                let outcome = self.record_failure(mail, claimant, &error).await?;
                return Ok((outcome, error.to_string()));
            }
            DeliveryResult::Released => {
                mail::release_claim(db, id, claimant).await?;
                return Ok((Outcome::Released, String::new()));
            }
            DeliveryResult::DeferredUntil(until, reason) => (until, reason),
            DeliveryResult::Retry(reason) => (self.next_attempt(mail, TimeDelta::MAX), reason),
            DeliveryResult::RedisUnavailable(missing, refusal) => (
                self.next_attempt(mail, MAX_REDIS_BACK_OFF),
                format!("{missing}: {refusal}"),
            ),
        };
        mail::reschedule(db, id, claimant, next, &reason).await?;
        Ok((Outcome::Deferred, reason))
    }

    /// Returns when a mail is tried again: after its back-off, `max_wait` at most, and no later than its expiry, so that it then
    /// expires at once.
    fn next_attempt(&self, mail: &mail::Model, max_wait: TimeDelta) -> DateTime<Utc> {
        let wait = back_off(mail.attempts, rand::random()).min(max_wait);
        Ord::min(self.clock.now() + wait, mail.deliver_before)
    }

    /// Ends a mail whose recipient was refused permanently, and defers any other.
    async fn record_failure(
        &self,
        mail: &mail::Model,
        claimant: Uuid,
        error: &SendError,
    ) -> Result<Outcome, DbErr> {
        let attempt = FailedAttempt {
            failure: &error.failure,
            message: &error.to_string(),
            at: self.clock.now(),
        };
        if error.is_final {
            delivery_health::fail(&self.db, mail.id, claimant, attempt).await?;
            return Ok(Outcome::Failed);
        }
        let next = self.next_attempt(mail, TimeDelta::MAX);
        delivery_health::defer(&self.db, mail.id, claimant, next, attempt).await?;
        Ok(Outcome::Deferred)
    }

    async fn record_sent(
        &self,
        id: Uuid,
        reset: Option<&password_reset::Model>,
    ) -> Result<(), DbErr> {
        let sent = SentMail {
            mail: id,
            reset: reset.map(|reset| reset.id),
        };
        let mut recorded = self.batches.record_sent(sent).await;
        if recorded.as_ref().is_err_and(database::is_gone) {
            // Another connection may work, and a mail that is not recorded is sent again.
            recorded = self.batches.record_sent(sent).await;
        }
        recorded?;
        if let Some(reset) = reset {
            let now = self.clock.now();
            let remaining = reset.code_expiry(now, self.otp_lifetime) - now;
            // The row decides whether the code is valid; this only frees memory in Redis earlier.
            if let Err(error) = self.codes.expire_after(reset.id, remaining).await {
                tracing::debug!(%error, "Code stays in Redis until its reset expires");
            }
        }
        Ok(())
    }

    /// Renews the claim for as long as it is polled. If the database fails, the mail may be sent twice. That is better than
    /// aborting a conversation that may already have succeeded.
    async fn keep_claim(&self, id: Uuid, claimant: Uuid) -> Infallible {
        let mut wait = RENEWAL_INTERVAL;
        loop {
            time::sleep(wait).await;
            wait = match self.batches.renew(id, claimant).await {
                Ok(()) => RENEWAL_INTERVAL,
                Err(error) => {
                    tracing::debug!(%error, "Claim not renewed");
                    RENEWAL_RETRY_DELAY
                }
            };
        }
    }
}

/// Logs one line for a delivery. `reason` is redacted ([`crate::transport::redaction`]).
fn log(mail: &mail::Model, outcome: Outcome, reason: &str, started: Instant) {
    let attempts = mail.attempts;
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Outcome::Sent => tracing::info!(attempts, duration_ms, "Mail sent"),
        Outcome::Deferred => tracing::warn!(attempts, duration_ms, reason, "Mail deferred"),
        Outcome::Released => {
            tracing::info!(
                attempts,
                duration_ms,
                "Mail released: the worker is stopping"
            );
        }
        Outcome::Failed => tracing::warn!(attempts, duration_ms, reason, "Mail failed"),
        Outcome::Suppressed => tracing::warn!(attempts, duration_ms, reason, "Mail suppressed"),
        Outcome::Expired => tracing::warn!(attempts, duration_ms, reason, "Mail expired"),
        Outcome::Cancelled | Outcome::NotClaimed => {
            tracing::info!(attempts, duration_ms, reason, "Mail cancelled");
        }
    }
}
