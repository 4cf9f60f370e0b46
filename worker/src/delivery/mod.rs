//! Delivers mails: claims a row, prepares its content, sends it, and records the result.
//!
//! A delivery may run twice at once, be interrupted, or run late. A claim lets one worker at a time work on a mail, and
//! expires unless it is renewed. A mail that is sent twice is the same mail (Message-ID, one-time code).

use std::sync::Arc;

use chrono::TimeDelta;
use latchkey_shared::{
    clock::Clock,
    crypto::token_hash::TokenHasher,
    database::Database,
    dependency::FailureReports,
    models::mail::{self, MailKind},
    outbox::template::{MailBranding, MailTemplates},
    redis::{TypedKey, one_time_code::CodeStore},
    telemetry::trace,
};
use lettre::message::Mailbox;
use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field::Empty};
use uuid::Uuid;

use crate::{
    config::Config,
    delivery::{
        accepted::AcceptedMails, batches::DeliveryBatches, code_batches::CodeBatches,
        mail_budget::MailBudget, slots::DeliverySlotPool, smtp_rate_limit::SmtpRateLimiter,
    },
    metrics::DeliveryMetrics,
    transport::Transport,
};

mod accepted;
mod attempt;
pub mod back_off;
pub mod batches;
pub mod code_batches;
pub mod compose;
pub mod mail_budget;
mod outcome;
mod prepare;
mod record;
pub mod slots;
pub mod smtp_rate_limit;

pub use outcome::Outcome;

/// How long a claim lasts unless it is renewed. Another worker takes over the mails of a dead one after this time.
const LEASE: TimeDelta = TimeDelta::seconds(6);

/// Mails in flight for each SMTP conversation: while some talk to the server, others are claimed, prepared or recorded, several
/// in one statement. A worker that is killed repeats at most these.
const PREFETCH_FACTOR: usize = 4;

/// The keys in Redis that all deliveries of an installation share, for the health check.
#[must_use]
pub fn fixed_keys(namespace: &str) -> [TypedKey; 2] {
    [
        (mail_budget::list_key(namespace), "zset"),
        (smtp_rate_limit::key(namespace), "string"),
    ]
}

/// Delivers mails. Clones share their state.
#[derive(Clone)]
pub struct Delivery(Arc<Inner>);

struct Inner {
    db: Database,
    batches: DeliveryBatches,
    accepted: AcceptedMails,
    codes: CodeBatches,
    tokens: TokenHasher,
    /// `PUBLIC_URL` without a trailing slash.
    base_url: String,
    transport: Transport,
    /// Limits concurrent SMTP conversations.
    conversations: DeliverySlotPool,
    prefetch: usize,
    limits: SendLimits,
    stop: CancellationToken,
    redis_failures: FailureReports,
    branding: MailBranding,
    templates: MailTemplates,
    from: Mailbox,
    otp_lifetime: TimeDelta,
    clock: Clock,
    metrics: DeliveryMetrics,
}

/// What mails may contain besides their texts.
pub struct MailSecrets {
    /// One-time codes.
    pub codes: CodeStore,
    /// Makes the tokens in links.
    pub tokens: TokenHasher,
}

/// Limits that delay or suppress mails. `None` means no limit.
pub struct SendLimits {
    /// The rate towards the SMTP server.
    pub rate: Option<SmtpRateLimiter>,
    /// The budgets of mailboxes.
    pub budget: Option<MailBudget>,
}

impl Delivery {
    /// Creates a delivery from its parts.
    #[must_use]
    pub fn new(
        db: Database,
        secrets: MailSecrets,
        transport: Transport,
        limits: SendLimits,
        config: &Config,
        clock: Clock,
        metrics: DeliveryMetrics,
    ) -> Self {
        Self(Arc::new(Inner {
            batches: DeliveryBatches::new(&db, &clock, LEASE, config.otp_lifetime),
            accepted: AcceptedMails::default(),
            db,
            codes: CodeBatches::new(secrets.codes, config.common.otp_digits),
            tokens: secrets.tokens,
            base_url: config.common.issuer().to_owned(),
            transport,
            conversations: DeliverySlotPool::new(config.concurrency),
            prefetch: config.concurrency * PREFETCH_FACTOR,
            limits,
            stop: CancellationToken::new(),
            redis_failures: FailureReports::default(),
            branding: config.common.mail_branding.clone(),
            templates: config.common.mail_templates.clone(),
            from: config.mail_from.clone(),
            otp_lifetime: config.otp_lifetime,
            clock,
            metrics,
        }))
    }

    /// Returns the token that, once cancelled, makes mails that wait for their conversation release their claims.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// Returns the reports of failures of Redis.
    #[must_use]
    pub fn redis_failures(&self) -> &FailureReports {
        &self.0.redis_failures
    }

    /// Returns the metrics of deliveries.
    #[must_use]
    pub fn metrics(&self) -> DeliveryMetrics {
        self.0.metrics.clone()
    }

    /// Returns the transport that mails are sent with.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// Returns how many mails may be in flight at once, more than there are conversations.
    #[must_use]
    pub fn prefetch(&self) -> usize {
        self.0.prefetch
    }

    /// Claims and delivers one mail. Returns [`Outcome::NotClaimed`] if the mail is gone, not due, or claimed by another
    /// worker.
    ///
    /// # Errors
    /// When the database fails. The mail is tried again after its claim has expired.
    pub async fn deliver(&self, id: Uuid) -> Result<Outcome, DbErr> {
        let Some(mut mail) = self.0.batches.claim(id).await? else {
            return Ok(Outcome::NotClaimed);
        };
        let claimant = mail.claimed_by.unwrap_or_default();
        let (traced, logged) = spans(&mail);
        let delivered = self
            .0
            .run(&mut mail, claimant)
            .instrument(traced.clone())
            .instrument(logged)
            .await;
        match &delivered {
            Ok(outcome) => {
                traced.record("mail.outcome", outcome.as_str());
                if matches!(outcome, Outcome::Deferred | Outcome::Failed) {
                    trace::fail(&traced, outcome.as_str());
                }
            }
            Err(_) => trace::fail(&traced, "database"),
        }
        delivered
    }
}

/// Returns the spans of a delivery for traces and for the log. An unknown kind is not repeated, as a row may hold any text.
fn spans(mail: &mail::Model) -> (Span, Span) {
    let kind = mail.kind.parse().map_or("unknown", MailKind::as_str);
    let traced = tracing::info_span!(
        target: trace::TARGET,
        "delivery",
        otel.kind = "consumer",
        otel.status_code = Empty,
        mail.id = %mail.id,
        mail.kind = kind,
        mail.attempt = mail.attempts,
        mail.outcome = Empty,
        "error.type" = Empty,
    );
    trace::continue_from(&traced, mail.trace.as_deref());
    let logged = tracing::info_span!(
        "delivery",
        mail.id = %mail.id,
        mail.kind = kind,
        request.id = ?mail.request_id,
        trace.id = Empty,
    );
    if let Some(trace) = trace::id_of(&traced) {
        logged.record("trace.id", trace);
    }
    (traced, logged)
}
