//! One delivery: claim a mail, find out what it is to say, send it, note how it went.
//!
//! A delivery may run twice at once, end half-way, or come too late, and harms nothing: the claim lets one at a time
//! work on a mail, a claim that nobody renews runs out, and a mail that is repeated is the same mail (Message-ID, code).

use std::{convert::Infallible, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    clock::Clock,
    database::{self, Database},
    dependency::Refusal,
    models::{
        mail::{
            self, MailKind, MailState,
            delivery_health::{self, FailedAttempt},
        },
        password_reset::{self, Purpose},
        user,
    },
    outbox::template::{Code, Content, MailBranding},
    redis::one_time_code::{CodeError, CodeStore, Otp},
    telemetry::trace,
    types::email::Email,
};
use lettre::{Address, message::Mailbox};
use sea_orm::DbErr;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, field::Empty};
use uuid::Uuid;

use crate::{
    config::Config,
    delivery::{
        back_off::back_off,
        batches::{Bound, DeliveryBatches, Sent},
        code_batches::Codes,
        compose::{ComposeError, Envelope},
        mail_budget::MailBudget,
        slots::{DeliverySlotPool, SlotPermit},
        smtp_rate_limit::{RateDecision, SmtpRateLimiter},
    },
    metrics::DeliveryMetrics,
    transport::{
        SendError, Transport,
        redaction::{hide_code, redact, shorten},
    },
};

pub mod back_off;
pub mod batches;
mod budget_check;
pub mod code_batches;
pub mod compose;
mod log;
pub mod mail_budget;
pub mod slots;
pub mod smtp_rate_limit;

/// How long a claim holds unless it is renewed: how soon another worker takes over from one that died.
const LEASE: TimeDelta = TimeDelta::seconds(6);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(2);
/// How soon after a renewal that failed.
const RENEWAL_AGAIN: Duration = Duration::from_millis(200);
/// The longest back-off, in seconds, of a mail that waits for Redis: once Redis works again, codes have minutes to live.
const REDIS_BACK_OFF: TimeDelta = TimeDelta::seconds(5);
/// How many mails are in hand for each that is handed over: while some talk to the server, others are claimed and made ready,
/// or noted as sent, several by one statement. A worker that is killed repeats no more than these.
const PREFETCH_FACTOR: usize = 4;

/// Delivers mails. Clones share everything.
#[derive(Clone)]
pub struct Delivery(Arc<Parts>);

struct Parts {
    db: Database,
    ledger: DeliveryBatches,
    codes: Codes,
    budget: Option<MailBudget>,
    transport: Transport,
    /// For the conversations with the server.
    lines: DeliverySlotPool,
    in_hand: usize,
    pace: Option<SmtpRateLimiter>,
    stop: CancellationToken,
    letterhead: MailBranding,
    from: Mailbox,
    otp_lifetime: TimeDelta,
    clock: Clock,
    metrics: DeliveryMetrics,
}

/// What holds mails back that could be sent.
pub struct SendLimits {
    /// The rate towards SMTP.
    pub pace: Option<SmtpRateLimiter>,
    /// The budgets of mailboxes.
    pub budget: Option<MailBudget>,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The mail was accepted.
    Sent,
    /// There is no such mail, it isn't due, it has ended, or somebody else has it.
    NothingToDo,
    /// It is to be tried again later.
    PutOff,
    /// It will never be accepted.
    Failed,
    /// It has lost its worth.
    Expired,
    /// There is nobody to send it to.
    Cancelled,
    /// Its mailbox has had as many mails as its budget allows.
    Suppressed,
    /// The worker stops; somebody else will send it.
    GivenBack,
}

impl Outcome {
    /// Its name among the figures.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::NothingToDo => "nothing_to_do",
            Self::PutOff => "put_off",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Suppressed => "suppressed",
            Self::GivenBack => "given_back",
        }
    }
}

/// What came of a try, before it is written down.
enum DeliveryResult {
    Sent(Option<password_reset::Model>),
    Ended(MailState, String),
    PutOff(String),
    /// It waits until then.
    Deferred(DateTime<Utc>, String),
    /// It reached the server, or not even that, and was not accepted.
    NotSent(SendError),
    /// Redis does not do its work: to be tried again soon, as that says nothing about the SMTP server.
    AwaitRedis(String),
    /// Nothing was wrong with it: the worker stops.
    GivenBack,
    /// Somebody else has it.
    Lost,
}

/// A mail that is ready to be written, or the verdict that it is not to be.
enum Prepared {
    /// With the stored address of the account.
    Code(Otp, password_reset::Model, Email),
    Notice(Content),
    Not(DeliveryResult),
}

impl Delivery {
    /// A delivery with these parts.
    #[must_use]
    pub fn new(
        db: Database,
        codes: CodeStore,
        transport: Transport,
        limits: SendLimits,
        config: &Config,
        clock: Clock,
        metrics: DeliveryMetrics,
    ) -> Self {
        Self(Arc::new(Parts {
            ledger: DeliveryBatches::new(&db, &clock, LEASE, config.otp_lifetime),
            db,
            codes: Codes::new(codes, config.common.otp_digits),
            transport,
            lines: DeliverySlotPool::new(config.concurrency),
            in_hand: config.concurrency * PREFETCH_FACTOR,
            pace: limits.pace,
            budget: limits.budget,
            stop: CancellationToken::new(),
            letterhead: MailBranding::of(&config.common),
            from: config.mail_from.clone(),
            otp_lifetime: config.otp_lifetime,
            clock,
            metrics,
        }))
    }

    /// Cancelled, it lets nothing wait for its turn any more.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// Where its figures are counted.
    #[must_use]
    pub fn metrics(&self) -> DeliveryMetrics {
        self.0.metrics.clone()
    }

    /// Where its mails go.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// How many mails it wants to have in hand at once; it talks about fewer at a time.
    #[must_use]
    pub fn in_hand(&self) -> usize {
        self.0.in_hand
    }

    /// Delivers one mail, if it is there to be delivered.
    ///
    /// # Errors
    /// When the database fails. The claim runs out then, and the mail is tried again.
    pub async fn deliver(&self, id: Uuid) -> Result<Outcome, DbErr> {
        let parts = &self.0;
        let Some(mut mail) = parts.ledger.claim(id).await? else {
            return Ok(Outcome::NothingToDo);
        };
        let claimant = mail.claimed_by.unwrap_or_default();
        // A kind that nobody knows is not repeated: whatever is in the row, a log line stays a line.
        let kind = mail.kind.parse().map_or("unknown", MailKind::as_str);
        let traced = tracing::info_span!(
            target: trace::TARGET,
            "delivery",
            otel.kind = "consumer",
            otel.status_code = Empty,
            mail.id = %id,
            mail.kind = kind,
            mail.attempt = mail.attempts,
            mail.outcome = Empty,
            "error.type" = Empty,
        );
        trace::continue_from(&traced, mail.trace.as_deref());
        let logged = tracing::info_span!(
            "delivery",
            mail.id = %id,
            mail.kind = kind,
            request.id = ?mail.request_id,
            trace.id = Empty,
        );
        if let Some(trace) = trace::id_of(&traced) {
            logged.record("trace.id", trace);
        }
        let delivered = parts
            .work(&mut mail, claimant)
            .instrument(traced.clone())
            .instrument(logged)
            .await;
        match &delivered {
            Ok(outcome) => {
                traced.record("mail.outcome", outcome.as_str());
                if matches!(outcome, Outcome::PutOff | Outcome::Failed) {
                    trace::fail(&traced, outcome.as_str());
                }
            }
            Err(_) => trace::fail(&traced, "database"),
        }
        delivered
    }
}

impl Parts {
    async fn work(&self, mail: &mut mail::Model, claimant: Uuid) -> Result<Outcome, DbErr> {
        let (started, _in_flight) = (Instant::now(), self.metrics.begin());
        let id = mail.id;
        let verdict = tokio::select! {
            verdict = self.attempt_and_note(mail, claimant) => verdict?,
            never = self.keep_claim(id, claimant) => match never {},
        };
        let (outcome, reason) = match verdict {
            DeliveryResult::Sent(_) => (Outcome::Sent, String::new()),
            DeliveryResult::Ended(state, reason) => {
                mail::end(&self.db, mail.id, claimant, state, &reason).await?;
                let outcome = match state {
                    MailState::Expired => Outcome::Expired,
                    MailState::Cancelled => Outcome::Cancelled,
                    MailState::Suppressed => Outcome::Suppressed,
                    _ => Outcome::Failed,
                };
                (outcome, reason)
            }
            DeliveryResult::PutOff(reason) => {
                let wait = back_off(mail.attempts, rand::random());
                self.reschedule(mail, claimant, wait, &reason).await?;
                (Outcome::PutOff, reason)
            }
            DeliveryResult::AwaitRedis(reason) => {
                let wait = back_off(mail.attempts, rand::random()).min(REDIS_BACK_OFF);
                self.reschedule(mail, claimant, wait, &reason).await?;
                (Outcome::PutOff, reason)
            }
            DeliveryResult::Deferred(until, reason) => {
                mail::reschedule(&self.db, mail.id, claimant, until, &reason).await?;
                (Outcome::PutOff, reason)
            }
            DeliveryResult::NotSent(error) => {
                let outcome = self.record_failure(mail, claimant, &error).await?;
                (outcome, error.words)
            }
            DeliveryResult::GivenBack => {
                mail::release_claim(&self.db, mail.id, claimant).await?;
                (Outcome::GivenBack, String::new())
            }
            DeliveryResult::Lost => return Ok(Outcome::NothingToDo),
        };
        log::line(mail, outcome, &reason, started);
        self.metrics
            .note(mail, outcome, started.elapsed(), self.clock.now());
        Ok(outcome)
    }

    /// Ends a mail that was refused for good, and defers any other.
    async fn record_failure(
        &self,
        mail: &mail::Model,
        claimant: Uuid,
        error: &SendError,
    ) -> Result<Outcome, DbErr> {
        let (db, now) = (&self.db, self.clock.now());
        let attempt = FailedAttempt {
            failure: &error.failure,
            message: &error.words,
            at: now,
        };
        if error.is_final {
            delivery_health::fail(db, mail.id, claimant, attempt).await?;
            return Ok(Outcome::Failed);
        }
        let wait = back_off(mail.attempts, rand::random());
        let next = Ord::min(now + wait, mail.deliver_before);
        delivery_health::defer(db, mail.id, claimant, next, attempt).await?;
        Ok(Outcome::PutOff)
    }

    async fn reschedule(
        &self,
        mail: &mail::Model,
        claimant: Uuid,
        wait: TimeDelta,
        reason: &str,
    ) -> Result<(), DbErr> {
        // Not beyond its worth, so that a mail which has lost it doesn't look as if it waited.
        let next = Ord::min(self.clock.now() + wait, mail.deliver_before);
        mail::reschedule(&self.db, mail.id, claimant, next, reason).await
    }

    async fn attempt_and_note(
        &self,
        mail: &mut mail::Model,
        claimant: Uuid,
    ) -> Result<DeliveryResult, DbErr> {
        let verdict = self.attempt(mail, claimant).await?;
        if let DeliveryResult::Sent(reset) = &verdict {
            self.record_sent(mail.id, reset.as_ref()).await?;
        }
        Ok(verdict)
    }

    async fn attempt(
        &self,
        mail: &mut mail::Model,
        claimant: Uuid,
    ) -> Result<DeliveryResult, DbErr> {
        if mail.deliver_before <= self.clock.now() {
            return Ok(expired());
        }
        let Ok(kind) = mail.kind.parse::<MailKind>() else {
            return Ok(ended(MailState::Failed, "unknown kind of mail"));
        };
        let Ok(recipient) = mail.recipient.parse::<Email>() else {
            return Ok(ended(MailState::Failed, "impossible recipient"));
        };
        let mut prepared = self.prepare(mail, kind).await?;
        if let Prepared::Not(verdict) = prepared {
            return Ok(verdict);
        }
        let line = match self.wait_for_turn(mail).await {
            Ok(line) => line,
            Err(verdict) => return Ok(verdict),
        };
        // After a long wait the claim may be lost, the account shut, the reset over.
        let now = self.clock.now();
        if mail.claimed_until.is_none_or(|until| until <= now) {
            if !mail::extend_claim(&self.db, mail.id, claimant, now + LEASE).await? {
                return Ok(DeliveryResult::Lost);
            }
            prepared = self.prepare(mail, kind).await?;
        }
        let (content, reset, to) = match prepared {
            Prepared::Code(code, reset, stored) => {
                let lifetime = reset.code_expiry(now, self.otp_lifetime) - now;
                let content = Content::Code {
                    code: Code::Shown(code),
                    purpose: reset.purpose,
                    lifetime,
                };
                (content, Some(reset), stored)
            }
            Prepared::Notice(content) => (content, None, recipient),
            Prepared::Not(verdict) => return Ok(verdict),
        };
        self.address(mail, claimant, &to).await?;
        Ok(self
            .send(mail, compose::address(&to), &content, reset, line)
            .await)
    }

    /// Has the row name the address that the mail goes to.
    async fn address(
        &self,
        mail: &mut mail::Model,
        claimant: Uuid,
        to: &Email,
    ) -> Result<(), DbErr> {
        if to.as_str() != mail.recipient {
            mail::set_recipient(&self.db, mail.id, claimant, to).await?;
            mail.recipient = to.to_string();
            mail.recipient_key = to.key();
        }
        Ok(())
    }

    async fn prepare(&self, mail: &mail::Model, kind: MailKind) -> Result<Prepared, DbErr> {
        if kind.purpose().is_some() {
            self.prepare_code(mail, kind, self.clock.now()).await
        } else {
            self.prepare_notice(mail, kind).await
        }
    }

    /// Waits for a free line, and until the pace allows another mail, which may be too late for this one.
    async fn wait_for_turn(&self, mail: &mail::Model) -> Result<SlotPermit, DeliveryResult> {
        let line = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(DeliveryResult::GivenBack),
            line = self.lines.take(mail.priority()) => line,
        };
        if let Some(pace) = &self.pace {
            match pace.turn(mail.priority(), &self.stop).await {
                Ok(RateDecision::Now) => {}
                Ok(RateDecision::Stopped) => return Err(DeliveryResult::GivenBack),
                Err(error) => {
                    let refusal = Refusal::from(&error);
                    return Err(DeliveryResult::AwaitRedis(format!("no turn: {refusal}")));
                }
            }
        }
        if mail.deliver_before <= self.clock.now() {
            return Err(expired());
        }
        Ok(line)
    }

    /// Finds the account that a reset was asked for, and draws the code. The API has asked nobody whether there is one. The
    /// code goes to the address that the account has stored, however it was typed in the request.
    async fn prepare_code(
        &self,
        mail: &mail::Model,
        kind: MailKind,
        now: DateTime<Utc>,
    ) -> Result<Prepared, DbErr> {
        let Some(id) = mail.reset_id else {
            return Ok(not(MailState::Failed, "it names no reset"));
        };
        let Some(Bound { reset, owner }) = self.ledger.bind(id).await? else {
            return Ok(not(MailState::Cancelled, "the reset is gone"));
        };
        if !reset.is_open(now) {
            return Ok(if reset.ended_at.is_some() {
                not(MailState::Cancelled, "the reset has ended")
            } else {
                not(MailState::Expired, "the reset has run out")
            });
        }
        let Some(owner) = owner else {
            return Ok(not(MailState::Cancelled, "no active account"));
        };
        if reset.purpose == Purpose::Activation && !owner.pending_email_verification {
            return Ok(not(MailState::Cancelled, "no account awaits its owner"));
        }
        // As strictly as when it was stored: it becomes part of the conversation with the server.
        let Ok(stored) = owner.email.as_str().parse::<Email>() else {
            return Ok(not(MailState::Failed, "impossible recipient"));
        };
        if let Some(verdict) = self.exceeds_budget(mail, kind, &owner).await? {
            return Ok(Prepared::Not(verdict));
        }
        let drawn = self.codes.draw(id, reset.expires_at - now).await;
        Ok(match drawn {
            Ok(code) => Prepared::Code(code, reset, stored),
            Err(CodeError::Redis(error)) => {
                let refusal = Refusal::from(&error);
                Prepared::Not(DeliveryResult::AwaitRedis(format!("no code: {refusal}")))
            }
            Err(error) => Prepared::Not(DeliveryResult::PutOff(format!("no code: {error}"))),
        })
    }

    async fn prepare_notice(&self, mail: &mail::Model, kind: MailKind) -> Result<Prepared, DbErr> {
        let Some(id) = mail.user_id else {
            return Ok(not(MailState::Failed, "it names no account"));
        };
        let owner = user::find(&self.db, id).await?;
        let Some(owner) = owner.filter(|owner| owner.is_active) else {
            return Ok(not(MailState::Cancelled, "no active account"));
        };
        let Some(content) = Content::notice(kind, mail) else {
            return Ok(not(MailState::Failed, "a code is no notice"));
        };
        if let Some(verdict) = self.exceeds_budget(mail, kind, &owner).await? {
            return Ok(Prepared::Not(verdict));
        }
        Ok(Prepared::Notice(content))
    }

    async fn send(
        &self,
        mail: &mail::Model,
        to: Address,
        content: &Content,
        reset: Option<password_reset::Model>,
        line: SlotPermit,
    ) -> DeliveryResult {
        let envelope = Envelope {
            to,
            from: self.from.clone(),
            message_id: &mail.message_id,
            date: self.clock.now(),
        };
        let message = match compose::message(content, &self.letterhead, envelope) {
            Ok(message) => message,
            Err(error @ ComposeError::Template(_)) => {
                return DeliveryResult::PutOff(error.to_string());
            }
            Err(error @ ComposeError::Message(_)) => {
                return DeliveryResult::Ended(MailState::Failed, error.to_string());
            }
        };
        let started = Instant::now();
        let worth = (mail.deliver_before - self.clock.now()).to_std();
        let sent = self
            .transport
            .send(mail.id, &message, worth.unwrap_or_default())
            .await;
        drop(line);
        self.metrics.record_conversation(&sent, started.elapsed());
        match sent {
            Ok(()) => DeliveryResult::Sent(reset),
            Err(error) => DeliveryResult::NotSent(SendError {
                words: clean(&error.words, mail, content),
                ..error
            }),
        }
    }

    async fn record_sent(
        &self,
        id: Uuid,
        reset: Option<&password_reset::Model>,
    ) -> Result<(), DbErr> {
        let sent = Sent {
            mail: id,
            reset: reset.map(|reset| reset.id),
        };
        let mut noted = self.ledger.record_sent(sent).await;
        if noted.as_ref().is_err_and(database::is_gone) {
            // Another connection may be heard of, and what is not noted is sent again.
            noted = self.ledger.record_sent(sent).await;
        }
        noted?;
        if let Some(reset) = reset {
            let now = self.clock.now();
            let left = reset.code_expiry(now, self.otp_lifetime) - now;
            // The row decides whether the code counts; this only clears Redis earlier.
            if let Err(error) = self.codes.expire_after(reset.id, left).await {
                tracing::debug!(%error, "A code stays in Redis until its reset ends.");
            }
        }
        Ok(())
    }

    /// Renews the claim for as long as it is polled. When the database fails to, the mail may be sent twice, which is
    /// better than cutting off a conversation that may have succeeded already.
    async fn keep_claim(&self, id: Uuid, claimant: Uuid) -> Infallible {
        let mut wait = RENEWAL;
        loop {
            time::sleep(wait).await;
            wait = match self.ledger.renew(id, claimant).await {
                Ok(()) => RENEWAL,
                Err(error) => {
                    tracing::debug!(%error, "A claim was not renewed.");
                    RENEWAL_AGAIN
                }
            };
        }
    }
}

fn ended(state: MailState, reason: &str) -> DeliveryResult {
    DeliveryResult::Ended(state, reason.to_owned())
}

fn expired() -> DeliveryResult {
    ended(MailState::Expired, "not sent before it lost its worth")
}

fn not(state: MailState, reason: &str) -> Prepared {
    Prepared::Not(ended(state, reason))
}

/// The words of a server without the recipient, which it likes to repeat, and without a code, as some servers repeat a
/// subject that they dislike.
fn clean(words: &str, mail: &mail::Model, content: &Content) -> String {
    let (words, secrets) = match content {
        Content::Code {
            code: Code::Shown(code),
            ..
        } => {
            let code = Otp::expose(code);
            (hide_code(words, code), vec![code.to_owned()])
        }
        _ => (words.to_owned(), Vec::new()),
    };
    let local_part = mail.recipient.rsplit_once('@').map(|(local, _)| local);
    shorten(&redact(&words, &secrets, local_part.as_slice()))
}
