//! Whether mails get through: what the failed attempts in the outbox's rows tell about the service.
//!
//! A failed attempt is kept in its mail's row until the mail is sent, so every program that reads the database sees the
//! same, and it ends by itself once mails are sent again. One recipient's refusal says nothing about the service.

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{QueryOrder as _, QuerySelect as _, UpdateMany, entity::prelude::*, sea_query::Expr};

use crate::models::mail::{self, Column, Entity, MailState, Model};

/// How far back mails are looked at.
const LOOK_BACK: TimeDelta = TimeDelta::days(7);
/// How long a refusal counts although mails of other recipients are accepted: three of the longest pauses between attempts.
const REFUSAL_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// How many failed attempts are compared.
const MAX_FAILURES: u64 = 100;
/// How many sent mails are looked at to find when the last was accepted.
const MAX_SENT: u64 = 20;

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
    /// The stage and the codes of the reply, such as `RCPT TO 550 5.7.1`; empty where there was none.
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
    /// No mail gets through, or mails to several domains are refused.
    Failing(DeliveryProblem),
    /// The server refuses the mails of one recipient or of one domain since it accepted another.
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
    let since = accepted.map_or(oldest, |at| at.min(now - REFUSAL_LIFETIME));
    let failed = failed_since(db, since).await?;
    Ok(judge(&failed, accepted))
}

/// The mails whose last attempt failed after a time, the newest failure first.
async fn failed_since(
    db: &impl ConnectionTrait,
    since: DateTime<Utc>,
) -> Result<Vec<Failed>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Failure.is_not_null())
        .filter(Column::FailedAt.gt(since))
        .order_by_desc(Column::FailedAt)
        .limit(MAX_FAILURES)
        .all(db)
        .await?;
    Ok(rows.into_iter().filter_map(Failed::of).collect())
}

/// What matters of a mail whose last attempt failed.
#[derive(Clone, Debug)]
struct Failed {
    failure: DeliveryFailure,
    domain: String,
    words: String,
    at: DateTime<Utc>,
}

impl Failed {
    fn of(row: Model) -> Option<Self> {
        let (_, domain) = row.recipient.rsplit_once('@')?;
        Some(Self {
            failure: row.failure?.parse().ok()?,
            domain: domain.to_lowercase(),
            words: row.last_error.unwrap_or_default(),
            at: row.failed_at?,
        })
    }

    /// Whether the same reply was given to a mail for another domain.
    fn recurs_in(&self, failed: &[&Self]) -> bool {
        failed
            .iter()
            .any(|other| other.failure == self.failure && other.domain != self.domain)
    }
}

/// Failures count until a mail is accepted. Refusals for other reasons than the recipient count for a while longer, as a
/// server may accept mails to its own domain and refuse those to others.
fn judge(failed: &[Failed], accepted: Option<DateTime<Utc>>) -> DeliveryHealth {
    let is_newer = |it: &&Failed| accepted.is_none_or(|at| it.at > at);
    let current: Vec<_> = failed
        .iter()
        .filter(|it| is_newer(it) || it.failure.cause == FailureCause::Refusal)
        .collect();
    let problem = current
        .iter()
        .find(|it| it.failure.cause.is_of_service() || it.recurs_in(&current));
    match (problem, accepted) {
        (Some(problem), _) => DeliveryHealth::Failing(DeliveryProblem {
            cause: problem.failure.cause,
            words: problem.words.clone(),
            failed_at: problem.at,
        }),
        (None, _) if failed.iter().any(|it| is_newer(&it)) => DeliveryHealth::OneRefused,
        (None, Some(at)) => DeliveryHealth::Accepted(at),
        (None, None) => DeliveryHealth::Idle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn failed(failure: &str, domain: &str, minutes_ago: i64) -> Failed {
        Failed {
            failure: failure.parse().unwrap(),
            domain: domain.to_owned(),
            words: "words".to_owned(),
            at: Clock::fixed().now() - TimeDelta::minutes(minutes_ago),
        }
    }

    fn is_failing(failed: &[Failed], accepted_minutes_ago: Option<i64>) -> bool {
        let now = Clock::fixed().now();
        let accepted = accepted_minutes_ago.map(|minutes| now - TimeDelta::minutes(minutes));
        matches!(judge(failed, accepted), DeliveryHealth::Failing(_))
    }

    #[test]
    fn failures_of_the_service_count_until_a_mail_is_accepted() {
        for cause in [
            "connection ",
            "authentication AUTH 535 5.7.8",
            "sender MAIL FROM 550",
        ] {
            let failed = [failed(cause, "a.example", 5)];
            assert!(is_failing(&failed, None), "{cause}");
            assert!(is_failing(&failed, Some(6)), "{cause}");
            assert!(!is_failing(&failed, Some(4)), "{cause}");
        }
    }

    #[test]
    fn refusals_count_when_several_domains_get_the_same() {
        let relay = "refusal RCPT TO 554 5.7.1";
        let unknown = "recipient RCPT TO 550 5.1.1";
        for (first, second, domain, accepted, failing) in [
            (relay, relay, "b.example", None, true),
            // Others are accepted meanwhile.
            (relay, relay, "b.example", Some(1), true),
            (relay, relay, "a.example", None, false),
            (relay, "refusal DATA 554 5.7.1", "b.example", None, false),
            (relay, "refusal RCPT TO 550 5.7.1", "b.example", None, false),
            (unknown, unknown, "b.example", None, true),
            (unknown, unknown, "b.example", Some(1), false),
        ] {
            let failed = [failed(first, "a.example", 2), failed(second, domain, 3)];
            assert_eq!(is_failing(&failed, accepted), failing, "{failed:?}");
        }
    }

    #[test]
    fn one_refused_recipient_is_no_problem() {
        let now = Clock::fixed().now();
        let failed = [failed("refusal DATA 554", "a.example", 2)];
        assert_eq!(judge(&failed, None), DeliveryHealth::OneRefused);
        assert_eq!(judge(&failed, Some(now)), DeliveryHealth::Accepted(now));
        assert_eq!(judge(&[], None), DeliveryHealth::Idle);
    }
}
