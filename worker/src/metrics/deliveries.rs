//! The metrics of deliveries.

use std::time::Duration;

use chrono::{DateTime, Utc};
use latchkey_shared::{
    models::mail::{self, MailKind},
    telemetry::metrics,
};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    core::Collector,
};

use crate::{delivery::Outcome, transport::SendError};

/// Buckets in seconds, from a mail that was sent at once to one that waited out the longest back-off.
const SECONDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];

/// Buckets in attempts, from a mail that was sent at once to one that was retried for three days.
const ATTEMPTS: [f64; 8] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 100.0, 1000.0];

/// The metrics of deliveries.
#[derive(Clone)]
pub struct DeliveryMetrics {
    outcomes: IntCounterVec,
    seconds: Histogram,
    delay: Histogram,
    in_flight: IntGauge,
    attempts: Histogram,
    conversations: HistogramVec,
    /// Wake-ups that the relay pushed.
    pub relayed: IntCounter,
    /// Deliveries that the relay started itself, as the queue could not be used.
    pub direct: IntCounter,
    /// Rows that housekeeping deleted, or whose data it erased, by kind.
    pub removed: IntCounterVec,
}

impl DeliveryMetrics {
    /// Creates and registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let outcomes = Opts::new(
            "latchkey_delivery_attempts_total",
            "Delivery attempts, by kind and outcome.",
        );
        let conversations = HistogramOpts::new(
            "latchkey_smtp_duration_seconds",
            "Duration of SMTP conversations in seconds, by result: accepted, refused, or failed (to be retried).",
        );
        let conversations = conversations.buckets(SECONDS.to_vec());
        Ok(Self {
            removed: metrics::rows_removed(registry)?,
            outcomes: register(registry, IntCounterVec::new(outcomes, &["kind", "outcome"]))?,
            seconds: histogram(
                registry,
                "latchkey_delivery_duration_seconds",
                "Duration of delivery attempts in seconds, including the wait for an SMTP conversation.",
                &SECONDS,
            )?,
            delay: histogram(
                registry,
                "latchkey_mail_delay_seconds",
                "Seconds from the request that caused a mail until the SMTP server accepted it.",
                &SECONDS,
            )?,
            in_flight: register(
                registry,
                IntGauge::new(
                    "latchkey_deliveries_in_flight",
                    "Mails in flight in this worker.",
                ),
            )?,
            attempts: histogram(
                registry,
                "latchkey_mail_attempts",
                "Delivery attempts per sent mail.",
                &ATTEMPTS,
            )?,
            conversations: register(registry, HistogramVec::new(conversations, &["result"]))?,
            relayed: counter(
                registry,
                "latchkey_relay_pushes_total",
                "Wake-ups pushed by the relay for due mails that no worker had claimed.",
            )?,
            direct: counter(
                registry,
                "latchkey_relay_direct_deliveries_total",
                "Deliveries started by the relay because the queue in Redis was unavailable.",
            )?,
        })
    }

    /// Counts a delivery as in flight until the guard is dropped.
    #[must_use]
    pub fn begin(&self) -> InFlightGuard {
        self.in_flight.inc();
        InFlightGuard(self.in_flight.clone())
    }

    /// Records the outcome of an attempt. An unknown kind is recorded as `unknown`, as a row may hold any text.
    pub fn record(
        &self,
        mail: &mail::Model,
        outcome: Outcome,
        duration: Duration,
        now: DateTime<Utc>,
    ) {
        let kind = mail.kind.parse().map_or("unknown", MailKind::as_str);
        self.outcomes
            .with_label_values(&[kind, outcome.as_str()])
            .inc();
        self.seconds.observe(duration.as_secs_f64());
        if outcome == Outcome::Sent {
            self.attempts.observe(f64::from(mail.attempts));
            self.delay
                .observe((now - mail.created_at).as_seconds_f64().max(0.0));
        }
    }

    /// Records the duration and the result of an SMTP conversation.
    pub fn record_conversation(&self, sent: &Result<(), SendError>, duration: Duration) {
        let result = match sent {
            Ok(()) => "accepted",
            Err(error) if error.is_final => "refused",
            Err(_) => "failed",
        };
        self.conversations
            .with_label_values(&[result])
            .observe(duration.as_secs_f64());
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    register(registry, IntCounter::new(name, help))
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> prometheus::Result<Histogram> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    register(registry, Histogram::with_opts(options))
}

/// Registers a new metric and returns it.
pub(super) fn register<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> prometheus::Result<M> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Counts a delivery as in flight until it is dropped.
pub struct InFlightGuard(IntGauge);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
