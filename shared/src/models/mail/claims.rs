//! Claims of mails by deliveries, and how a claimed mail's delivery ends.
//!
//! A claim is a lease: one delivery works on a mail until the lease expires. A delivery changes a mail only while it has the
//! claim, so it cannot overwrite the result of a later delivery. The exception is [`mark_sent`].

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    Condition, DbBackend, QueryOrder as _, QuerySelect as _, UpdateMany,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    database,
    models::mail::{Column, Entity, MailState, Model, Priority},
    types::email::Email,
};

/// The longest stored reason, in characters.
const MAX_REASON: usize = 500;

/// Claims mails until `now + lease`. Skips mails that are not queued, not due, or claimed by another delivery. Returns the
/// claimed mails.
pub async fn claim(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    claimant: Uuid,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<Vec<Model>, DbErr> {
    let these = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)))
        .filter(is_due(now));
    Entity::update_many()
        .col_expr(Column::ClaimedBy, Expr::value(claimant))
        .col_expr(Column::ClaimedUntil, Expr::value(now + lease))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .filter(Column::Id.in_subquery(database::skip_locked(these, db)))
        .exec_with_returning(db)
        .await
}

/// Extends the claims, each a pair of mail and claimant, until `until`. Skips rows that another transaction has locked.
pub async fn renew_claims(
    db: &impl ConnectionTrait,
    claims: &[(Uuid, Uuid)],
    until: DateTime<Utc>,
) -> Result<(), DbErr> {
    let (ids, claimants): (Vec<_>, Vec<_>) = claims.iter().copied().unzip();
    let these = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(database::pad_to_power_of_two(&ids)))
        .filter(Column::ClaimedBy.is_in(database::pad_to_power_of_two(&claimants)));
    Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(until))
        .filter(Column::Id.in_subquery(database::skip_locked(these, db)))
        .exec(db)
        .await?;
    Ok(())
}

/// Extends one claim. Returns false if the mail has ended or another delivery has claimed it.
pub async fn extend_claim(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    until: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let extended = update_claimed(id, claimant)
        .col_expr(Column::ClaimedUntil, Expr::value(until))
        .filter(Column::State.eq(MailState::Queued))
        .exec(db)
        .await?;
    Ok(extended.rows_affected == 1)
}

/// Stores the recipient of a claimed mail.
pub async fn set_recipient(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    recipient: &Email,
) -> Result<(), DbErr> {
    update_claimed(id, claimant)
        .col_expr(Column::Recipient, Expr::value(recipient.as_str()))
        .col_expr(Column::RecipientKey, Expr::value(recipient.key()))
        .col_expr(
            Column::RecipientMailbox,
            Expr::value(recipient.key().mailbox()),
        )
        .exec(db)
        .await?;
    Ok(())
}

/// Releases a claim and undoes its attempt, as if it had never been made.
pub async fn release_claim(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
) -> Result<(), DbErr> {
    clear_claim(update_claimed(id, claimant))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).sub(1))
        .exec(db)
        .await?;
    Ok(())
}

/// Marks mails as sent, even if the claims have expired: the SMTP server has accepted them.
pub async fn mark_sent(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    clear_failure(Entity::update_many())
        .col_expr(Column::State, Expr::value(MailState::Sent))
        .col_expr(Column::SentAt, Expr::value(now))
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)))
        .exec(db)
        .await?;
    Ok(())
}

/// Ends a claimed mail without sending it, and stores the reason. An expired mail keeps the reason of its last failed
/// attempt, too.
pub async fn end(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    state: MailState,
    reason: &str,
) -> Result<(), DbErr> {
    let reason = Expr::value(shorten(reason));
    let reason = match state {
        MailState::Expired => {
            let given = match db.get_database_backend() {
                DbBackend::Postgres => "$1",
                _ => "?",
            };
            let both =
                format!("substr({given} || coalesce('; before that: ' || last_error, ''), 1, 500)");
            Expr::cust_with_expr(both, reason)
        }
        _ => reason,
    };
    update_claimed(id, claimant)
        .col_expr(Column::State, Expr::value(state))
        .col_expr(Column::LastError, reason)
        .exec(db)
        .await?;
    Ok(())
}

/// Defers a claimed mail to a later attempt, and stores the reason.
pub async fn reschedule(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    next_attempt_at: DateTime<Utc>,
    reason: &str,
) -> Result<(), DbErr> {
    clear_claim(update_claimed(id, claimant))
        .col_expr(Column::NextAttemptAt, Expr::value(next_attempt_at))
        .col_expr(Column::LastError, Expr::value(shorten(reason)))
        .exec(db)
        .await?;
    Ok(())
}

/// Returns up to `limit` due mails of a priority, the oldest first, and marks them as pushed. Skips those pushed within
/// `pushed_within`. Concurrent callers never get the same mail.
pub async fn take_due(
    db: &impl ConnectionTrait,
    priority: Priority,
    now: DateTime<Utc>,
    pushed_within: TimeDelta,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let due = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Urgent.eq(priority == Priority::High))
        .filter(is_due(now))
        .filter(
            Column::PushedAt
                .is_null()
                .or(Column::PushedAt.lte(now - pushed_within)),
        )
        .order_by_asc(Column::NextAttemptAt)
        .limit(limit);
    let taken = Entity::update_many()
        .col_expr(Column::PushedAt, Expr::value(now))
        .filter(Column::Id.in_subquery(database::skip_locked(due, db)))
        .exec_with_returning(db)
        .await?;
    Ok(taken.into_iter().map(|mail| mail.id).collect())
}

/// An update of a mail on condition that the delivery still has its claim.
pub(super) fn update_claimed(id: Uuid, claimant: Uuid) -> UpdateMany<Entity> {
    Entity::update_many()
        .filter(Column::Id.eq(id))
        .filter(Column::ClaimedBy.eq(claimant))
}

/// Releases the claim, and lets the relay push the mail again.
pub(super) fn clear_claim(update: UpdateMany<Entity>) -> UpdateMany<Entity> {
    update
        .col_expr(Column::PushedAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::ClaimedBy, Expr::value(None::<Uuid>))
        .col_expr(Column::ClaimedUntil, Expr::value(None::<DateTime<Utc>>))
}

pub(super) fn clear_failure(update: UpdateMany<Entity>) -> UpdateMany<Entity> {
    update
        .col_expr(Column::LastError, Expr::value(None::<String>))
        .col_expr(Column::Failure, Expr::value(None::<String>))
        .col_expr(Column::FailedAt, Expr::value(None::<DateTime<Utc>>))
}

pub(super) fn is_unclaimed(now: DateTime<Utc>) -> Expr {
    Column::ClaimedUntil
        .is_null()
        .or(Column::ClaimedUntil.lte(now))
}

fn is_due(now: DateTime<Utc>) -> Condition {
    Condition::all()
        .add(Column::State.eq(MailState::Queued))
        .add(Column::NextAttemptAt.lte(now))
        .add(is_unclaimed(now))
}

/// Replaces control characters by blanks, and cuts the reason at [`MAX_REASON`] characters.
pub(crate) fn shorten(reason: &str) -> String {
    reason
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_REASON)
        .collect()
}
