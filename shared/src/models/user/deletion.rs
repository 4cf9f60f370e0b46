//! The deletion of accounts at the request of their owners.

use chrono::{DateTime, Utc};
use sea_orm::{QueryOrder as _, QuerySelect as _, entity::prelude::*, sea_query::Expr};

use crate::models::{
    audit, mail, password_reset,
    user::{Column, Entity, LIST_BATCH_SIZE, Model, staff},
};

/// Schedules the deletion of an account, unless it is scheduled already.
pub async fn schedule_deletion(
    db: &impl ConnectionTrait,
    id: i64,
    at: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::DeletionAt, Expr::value(at))
        .filter(Column::Id.eq(id))
        .filter(Column::DeletionAt.is_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Returns the accounts whose deletion is due, up to 1,000, the most overdue first.
pub async fn list_due_deletions(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
) -> Result<Vec<i64>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::DeletionAt.lte(now))
        .order_by_asc(Column::DeletionAt)
        .limit(LIST_BATCH_SIZE)
        .into_tuple()
        .all(db)
        .await
}

/// Deletes a locked account with everything stored about it: sessions, roles, requests for codes, mails and the readable values of
/// audit events. The events themselves stay, with the id and fingerprints of the account. `subject` is the fingerprint of the email that gets
/// codes. Returns false if there is no such account.
pub async fn erase(
    transaction: &impl ConnectionTrait,
    user: &Model,
    subject: &str,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    audit::erase_details_about(transaction, user.id, subject).await?;
    // Before the requests for codes, by which some of these mails are found.
    mail::delete_about(transaction, user, now).await?;
    password_reset::delete_about(transaction, user, now).await?;
    staff::delete(transaction, user.id).await
}
