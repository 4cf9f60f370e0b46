//! Changes of accounts that affect access: logins, passwords, activation.

use chrono::{DateTime, Utc};
use sea_orm::{
    QueryTrait as _,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::models::{
    api_token, imported_user, session,
    user::{Column, Entity, Model, raise_version},
};

/// The effect of a login on its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedLogin {
    /// The login is recorded.
    Stored,
    /// The login is recorded, and has cancelled the scheduled deletion of the account.
    DeletionCancelled,
    /// The password was changed, a second factor added, or the account deactivated or deleted, since the account was read.
    Refused,
}

/// Records a login whose password matched the hash of `verified`, and cancels a scheduled deletion of the account.
pub async fn record_login(
    db: &impl ConnectionTrait,
    verified: &Model,
    now: DateTime<Utc>,
) -> Result<RecordedLogin, DbErr> {
    let update = || {
        Entity::update_many()
            .col_expr(Column::LastLoginAt, Expr::value(now))
            .filter(Column::Id.eq(verified.id))
            .filter(Column::PasswordHash.eq(&verified.password_hash))
            .filter(Column::IsActive.eq(true))
            .apply_if(
                verified.second_factor_at.is_none().then_some(()),
                |it, ()| it.filter(Column::SecondFactorAt.is_null()),
            )
    };
    let usual = update().filter(Column::DeletionAt.is_null()).exec(db);
    if usual.await?.rows_affected == 1 {
        return Ok(RecordedLogin::Stored);
    }
    let cancelling = update()
        .col_expr(Column::DeletionAt, Expr::value(None::<DateTime<Utc>>))
        .filter(Column::DeletionAt.is_not_null())
        .exec(db)
        .await?;
    Ok(match cancelling.rows_affected {
        1 => RecordedLogin::DeletionCancelled,
        _ => RecordedLogin::Refused,
    })
}

/// Replaces the hash `verified` with another hash of the same password. Returns false if the stored hash has changed since the
/// read.
pub async fn replace_hash(
    db: &impl ConnectionTrait,
    id: i64,
    verified: &str,
    hash: &str,
) -> Result<bool, DbErr> {
    let replaced = Entity::update_many()
        .col_expr(Column::PasswordHash, Expr::value(hash))
        .filter(Column::Id.eq(id))
        .filter(Column::PasswordHash.eq(verified))
        .exec(db)
        .await?;
    Ok(replaced.rows_affected == 1)
}

/// Stores the hash of a new password.
pub async fn reset_password(db: &impl ConnectionTrait, id: i64, hash: String) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::PasswordHash, Expr::value(hash))
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    imported_user::record_new_password(db, id).await
}

/// Replaces the hash `verified`, which the current password matched, by that of a new password. Returns false if the password was
/// changed or the account deactivated since the hash was read.
pub async fn change_password(
    db: &impl ConnectionTrait,
    id: i64,
    verified: &str,
    hash: String,
) -> Result<bool, DbErr> {
    let changed = Entity::update_many()
        .col_expr(Column::PasswordHash, Expr::value(hash))
        .filter(Column::Id.eq(id))
        .filter(Column::PasswordHash.eq(verified))
        .filter(Column::IsActive.eq(true))
        .exec(db)
        .await?;
    if changed.rows_affected == 0 {
        return Ok(false);
    }
    imported_user::record_new_password(db, id).await?;
    Ok(true)
}

/// Activates or reactivates an account. Returns false if it was already active, so that concurrent activations cause one mail.
pub async fn activate(db: &impl ConnectionTrait, id: i64) -> Result<bool, DbErr> {
    let changed = raise_version(Entity::update_many())
        .col_expr(Column::IsActivated, Expr::value(true))
        .col_expr(Column::IsActive, Expr::value(true))
        .col_expr(Column::PendingEmailVerification, Expr::value(false))
        .filter(Column::Id.eq(id))
        .filter(Column::IsActivated.eq(false).or(Column::IsActive.eq(false)))
        .exec(db)
        .await?;
    Ok(changed.rows_affected > 0)
}

/// Activates an account whose owner has proved the email by a one-time code. Returns false if it is not pending verification.
pub async fn activate_by_owner(
    db: &impl ConnectionTrait,
    id: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let changed = raise_version(Entity::update_many())
        .col_expr(Column::IsActivated, Expr::value(true))
        .col_expr(Column::PendingEmailVerification, Expr::value(false))
        .col_expr(Column::EmailVerifiedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::IsActive.eq(true))
        .filter(Column::PendingEmailVerification.eq(true))
        .exec(db)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Deactivates an account and revokes its sessions and API tokens. Returns false if it was already deactivated.
pub async fn deactivate(
    db: &impl ConnectionTrait,
    id: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let changed = raise_version(Entity::update_many())
        .col_expr(Column::IsActive, Expr::value(false))
        .col_expr(Column::PendingEmailVerification, Expr::value(false))
        .filter(Column::Id.eq(id))
        .filter(Column::IsActive.eq(true))
        .exec(db)
        .await?;
    session::revoke_all(db, id, now).await?;
    api_token::revoke_all(db, id, now).await?;
    Ok(changed.rows_affected > 0)
}
