//! Delivery health: whether mails get through, judged by the failed attempts in the outbox.
//!
//! A mail's row keeps its last failed attempt until the mail is sent. So all programs see the same state, and a problem ends
//! once mails are sent again. The refusal of a single recipient says nothing about the service.

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{QueryOrder as _, QuerySelect as _, UpdateMany, entity::prelude::*, sea_query::Expr};

use crate::models::mail::{
    self, Column, Entity, MailState,
    claims::{clear_claim, shorten, update_claimed},
};

mod judgement;

use judgement::{AcceptedMail, FailedMail, judge};

/// The period that is examined.
const LOOK_BACK: TimeDelta = TimeDelta::days(7);
/// How long a refusal counts even if mails to other recipients are accepted, and how long an acceptance counts against it: three
/// times the longest back-off.
const REFUSAL_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// The maximum number of failed attempts that are compared.
const MAX_FAILURES: u64 = 100;
/// The number of sent mails that are read to find the last acceptance and the accepted domains.
const MAX_SENT: u64 = 100;

/// The cause of a failed delivery attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// The SMTP server is unreachable, did not reply, or refused or closed the connection.
    Connection,
    /// The login failed.
    Authentication,
    /// The server refused the sender.
    Sender,
    /// The server refused the recipient's address or mailbox.
    Recipient,
    /// The server refused the mail for another reason.
    Refusal,
}

impl FailureCause {
    /// All causes.
    pub const ALL: [Self; 5] = [
        Self::Connection,
        Self::Authentication,
        Self::Sender,
        Self::Recipient,
        Self::Refusal,
    ];

    /// Returns the name in rows and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Authentication => "authentication",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Refusal => "refusal",
        }
    }

    /// Returns whether the failure concerns all mails, whatever their recipient.
    fn concerns_all_mails(self) -> bool {
        matches!(self, Self::Connection | Self::Authentication | Self::Sender)
    }
}

/// The cause of a failed attempt, with the server's reply. Equal values mean the same problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryFailure {
    /// The cause of the failure.
    pub cause: FailureCause,
    /// The stage and the codes of the reply, such as `RCPT TO 550 5.7.1`. Empty if the server was not asked.
    pub reply: String,
}

impl fmt::Display for DeliveryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cause.as_str(), self.reply)
    }
}

impl FromStr for DeliveryFailure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (cause, reply) = text.split_once(' ').unwrap_or((text, ""));
        let cause = FailureCause::ALL
            .into_iter()
            .find(|known| known.as_str() == cause)
            .ok_or_else(|| format!("unknown cause: {cause:?}"))?;
        Ok(Self {
            cause,
            reply: reply.to_owned(),
        })
    }
}

/// A failed delivery attempt.
#[derive(Clone, Copy, Debug)]
pub struct FailedAttempt<'a> {
    /// The cause and the reply.
    pub failure: &'a DeliveryFailure,
    /// The text of the server's reply, without recipient and secrets. Longer texts are cut at 500 characters.
    pub message: &'a str,
    /// When the attempt failed.
    pub at: DateTime<Utc>,
}

/// Defers a claimed mail to a later attempt, and records the failed one.
pub async fn defer(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    next_attempt_at: DateTime<Utc>,
    attempt: FailedAttempt<'_>,
) -> Result<(), DbErr> {
    clear_claim(record(id, claimant, attempt))
        .col_expr(Column::NextAttemptAt, Expr::value(next_attempt_at))
        .exec(db)
        .await?;
    Ok(())
}

/// Ends a claimed mail that the server has permanently refused.
pub async fn fail(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    attempt: FailedAttempt<'_>,
) -> Result<(), DbErr> {
    record(id, claimant, attempt)
        .col_expr(Column::State, Expr::value(MailState::Failed))
        .exec(db)
        .await?;
    Ok(())
}

fn record(id: Uuid, claimant: Uuid, attempt: FailedAttempt<'_>) -> UpdateMany<Entity> {
    update_claimed(id, claimant)
        .col_expr(Column::LastError, Expr::value(shorten(attempt.message)))
        .col_expr(Column::Failure, Expr::value(attempt.failure.to_string()))
        .col_expr(Column::FailedAt, Expr::value(attempt.at))
}

/// A delivery problem of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryProblem {
    /// The cause of the newest failed attempt.
    pub cause: FailureCause,
    /// The text of the server's reply.
    pub message: String,
    /// When that attempt failed.
    pub failed_at: DateTime<Utc>,
}

/// The health of mail delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryHealth {
    /// No mail gets through, or mails to more domains are refused than accepted.
    Failing(DeliveryProblem),
    /// Mails to one recipient, or to few domains among many, are refused.
    OneRefused,
    /// The last mail was accepted at this time.
    Accepted(DateTime<Utc>),
    /// No delivery was attempted in the last 7 days.
    Idle,
}

/// Returns the delivery health, judged by the attempts of the last 7 days.
pub async fn check(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<DeliveryHealth, DbErr> {
    let oldest = now - LOOK_BACK;
    let accepted = mail::last_sent(db, oldest, MAX_SENT).await?;
    let accepted: Vec<_> = accepted.iter().filter_map(AcceptedMail::from_row).collect();
    let last = accepted.iter().map(|mail| mail.at).max();
    let recent = now - REFUSAL_LIFETIME;
    let failed = failed_since(db, last.map_or(oldest, |at| at.min(recent))).await?;
    let recently_accepted: Vec<_> = accepted.into_iter().filter(|it| it.at > recent).collect();
    Ok(judge(&failed, &recently_accepted, last))
}

/// Returns the mails whose last attempt failed after `since`, the newest failure first.
async fn failed_since(
    db: &impl ConnectionTrait,
    since: DateTime<Utc>,
) -> Result<Vec<FailedMail>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Failure.is_not_null())
        .filter(Column::FailedAt.gt(since))
        .order_by_desc(Column::FailedAt)
        .limit(MAX_FAILURES)
        .all(db)
        .await?;
    Ok(rows.into_iter().filter_map(FailedMail::from_row).collect())
}
