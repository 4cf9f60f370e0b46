//! Actions of operators on mails, and the removal of old mails.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    Condition,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    database,
    models::{
        mail::{
            Column, ConcerningMails, Entity, MailState,
            claims::{clear_claim, clear_failure, is_unclaimed},
        },
        user,
    },
};

/// The extension of the deadline when a mail is retried.
const RETRY_LIFETIME: TimeDelta = TimeDelta::days(1);

/// Cancels a queued mail. Returns false if the mail is not queued or is in delivery.
pub async fn cancel(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let cancelled = Entity::update_many()
        .col_expr(Column::State, Expr::value(MailState::Cancelled))
        .col_expr(Column::LastError, Expr::value("cancelled by an operator"))
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(MailState::Queued))
        .filter(is_unclaimed(now))
        .exec(db)
        .await?;
    Ok(cancelled.rows_affected == 1)
}

/// Queues an unsent mail again, like [`retry_all`]. Returns false if there is no such mail or it is in delivery.
pub async fn retry(db: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<bool, DbErr> {
    Ok(!retry_all(db, &[id], now).await?.is_empty())
}

/// Queues unsent mails again: due at once and exempt from the budgets of their mailboxes. Notifications get a deadline at least
/// one day ahead; one-time codes keep theirs. Skips mails in delivery. Returns the ids of the queued mails.
pub async fn retry_all(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<HashSet<Uuid>, DbErr> {
    let deadline = now + RETRY_LIFETIME;
    let retried = clear_failure(clear_claim(Entity::update_many()))
        .col_expr(Column::State, Expr::value(MailState::Queued))
        .col_expr(Column::BeyondBudget, Expr::value(true))
        .col_expr(Column::NextAttemptAt, Expr::value(now))
        .col_expr(
            Column::DeliverBefore,
            Expr::case(
                Condition::all()
                    .add(Column::ResetId.is_null())
                    .add(Column::DeliverBefore.lt(deadline)),
                Expr::value(deadline),
            )
            .finally(Expr::col(Column::DeliverBefore))
            .into(),
        )
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)))
        .filter(Column::State.ne(MailState::Sent))
        .filter(Column::State.ne(MailState::Queued).or(is_unclaimed(now)))
        .exec_with_returning(db)
        .await?;
    Ok(retried.into_iter().map(|mail| mail.id).collect())
}

/// Deletes all mails that concern an account, in whatever state.
pub async fn delete_about(
    db: &impl ConnectionTrait,
    user: &user::Model,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    for which in ConcerningMails::ALL {
        Entity::delete_many()
            .filter(which.condition(user, now))
            .exec(db)
            .await?;
    }
    // Codes that no worker has bound to the account.
    Entity::delete_many()
        .filter(Column::RecipientKey.eq(user.email_key.clone()))
        .filter(Column::UserId.is_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Deletes the ended mails that told owners of the deletion of their accounts. Returns the number of deleted mails.
pub async fn delete_ended_of_deleted_accounts(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    let ended = Entity::find()
        // In the words of the partial index.
        .filter(Expr::cust("kind = 'account_deleted'"))
        .filter(Column::State.ne(MailState::Queued));
    database::delete_in_parts(db, ended, Column::Id).await
}

/// Deletes mails that were created before `cutoff`, except queued ones. Returns the number of deleted mails.
pub async fn delete_ended_before(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let ended = Entity::find()
        .filter(Column::CreatedAt.lt(cutoff))
        .filter(Column::State.ne(MailState::Queued));
    database::delete_in_parts(db, ended, Column::Id).await
}

/// Erases the customer network and the device of mails that were created before `cutoff`, except queued ones. Returns the number of changed
/// mails.
pub async fn erase_client_data(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let is_stored = Condition::any()
        .add(Column::CustomerNetwork.is_not_null())
        .add(Column::Device.is_not_null());
    let found = Entity::find()
        .filter(Column::CreatedAt.lt(cutoff))
        .filter(Column::State.ne(MailState::Queued))
        .filter(is_stored);
    let erase = Entity::update_many()
        .col_expr(Column::CustomerNetwork, Expr::value(None::<String>))
        .col_expr(Column::Device, Expr::value(None::<String>));
    database::update_in_parts(db, erase, found, Column::Id).await
}
