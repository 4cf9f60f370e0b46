//! Whether mails get through: what the failed attempts in the outbox's rows tell about the service.
//!
//! A failed attempt is kept in its mail's row until the mail is sent, so every program that reads the database sees the
//! same, and it ends by itself once mails are sent again. One recipient's refusal says nothing about the service.

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{QueryOrder as _, QuerySelect as _, UpdateMany, entity::prelude::*, sea_query::Expr};

use crate::models::mail::{self, Column, Entity, MailState, Model};

mod judgement;

use judgement::{AcceptedMail, FailedMail, judge};

/// How far back mails are looked at.
const LOOK_BACK: TimeDelta = TimeDelta::days(7);
/// How long a refusal counts although mails of other recipients are accepted, and an acceptance against it: three of the longest
/// pauses between attempts.
const REFUSAL_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// How many failed attempts are compared.
const MAX_FAILURES: u64 = 100;
/// How many sent mails are looked at to find when the last was accepted, and for which domains.
const MAX_SENT: u64 = 100;

/// What made an attempt to send a mail fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// The server could not be reached, did not reply, refused the connection, or ended it.
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

    /// Its name in rows and metrics.
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

    /// Whether it is the same for every mail, whoever receives it.
    fn is_of_service(self) -> bool {
        matches!(self, Self::Connection | Self::Authentication | Self::Sender)
    }
}

/// What made an attempt fail, and which reply of the server. Two refusals are of the same kind when these are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryFailure {
    /// The cause.
    pub cause: FailureCause,
    /// The stage and the codes of the reply, such as `RCPT TO 550 5.7.1`; empty where the server was not asked.
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

/// A failed attempt to send a mail.
#[derive(Clone, Copy, Debug)]
pub struct FailedAttempt<'a> {
    /// What made it fail.
    pub failure: &'a DeliveryFailure,
    /// The server's words, without recipient and secrets; what exceeds 500 characters is cut.
    pub words: &'a str,
    /// When it failed.
    pub at: DateTime<Utc>,
}

/// Defers a claimed mail to a later attempt.
pub async fn defer(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    next_attempt_at: DateTime<Utc>,
    attempt: FailedAttempt<'_>,
) -> Result<(), DbErr> {
    record(id, claimant, attempt)
        .col_expr(Column::NextAttemptAt, Expr::value(next_attempt_at))
        .col_expr(Column::PushedAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::ClaimedBy, Expr::value(None::<Uuid>))
        .col_expr(Column::ClaimedUntil, Expr::value(None::<DateTime<Utc>>))
        .exec(db)
        .await?;
    Ok(())
}

/// Ends a claimed mail that the server refused for good.
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
    Entity::update_many()
        .col_expr(Column::LastError, Expr::value(mail::shorten(attempt.words)))
        .col_expr(Column::Failure, Expr::value(attempt.failure.to_string()))
        .col_expr(Column::FailedAt, Expr::value(attempt.at))
        .filter(Column::Id.eq(id))
        .filter(Column::ClaimedBy.eq(claimant))
}

/// Why mails do not get through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryProblem {
    /// The cause of the newest failed attempt.
    pub cause: FailureCause,
    /// The server's words.
    pub words: String,
    /// When that attempt failed.
    pub failed_at: DateTime<Utc>,
}

/// How mails fare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryHealth {
    /// No mail gets through, or mails to more domains are refused than accepted.
    Failing(DeliveryProblem),
    /// The server refuses the mails of one recipient, or of few domains among many.
    OneRefused,
    /// The last mail was accepted at this time.
    Accepted(DateTime<Utc>),
    /// No mail was sent or tried in the last 7 days.
    Idle,
}

/// Looks at the attempts of the last 7 days.
pub async fn check(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<DeliveryHealth, DbErr> {
    let oldest = now - LOOK_BACK;
    let accepted = mail::last_sent(db, oldest, MAX_SENT).await?;
    let accepted: Vec<_> = accepted.into_iter().filter_map(AcceptedMail::of).collect();
    let last = accepted.iter().map(|mail| mail.at).max();
    let recent = now - REFUSAL_LIFETIME;
    let failed = failed_since(db, last.map_or(oldest, |at| at.min(recent))).await?;
    let recently_accepted: Vec<_> = accepted.into_iter().filter(|it| it.at > recent).collect();
    Ok(judge(&failed, &recently_accepted, last))
}

/// The mails whose last attempt failed after a time, the newest failure first.
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
    Ok(rows.into_iter().filter_map(FailedMail::of).collect())
}
