//! The TOTP secrets of accounts (RFC 6238): at most one for each account. It is a second factor once a code has confirmed it.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _, OnConflict},
};

use crate::{
    crypto::sealing::{OpenError, Seal},
    database::find_unique,
};

/// The TOTP secret of an account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "totp_secrets")]
pub struct Model {
    /// The account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// The secret, encrypted and bound to the account.
    pub sealed_secret: Vec<u8>,
    /// When the secret was created.
    pub created_at: DateTime<Utc>,
    /// When a code confirmed the secret. Until then, a login needs no code.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// The number of the newest time step whose code was used. Codes of this step and of earlier ones are refused.
    pub last_step: i64,
}

/// No relations: the secret is found by its account.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Decrypts the secret.
    pub fn secret(&self, seal: &Seal) -> Result<Vec<u8>, OpenError> {
        seal.open(&context(self.user_id), &self.sealed_secret)
    }
}

/// Returns the context that a secret is bound to.
fn context(user_id: i64) -> Vec<u8> {
    format!("totp {user_id}").into_bytes()
}

/// Stores a new secret that no code has confirmed yet. Replaces an unconfirmed one. Returns false if the account has a confirmed one.
pub async fn replace_unconfirmed(
    db: &impl ConnectionTrait,
    user_id: i64,
    (seal, secret): (&Seal, &[u8]),
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let row = ActiveModel {
        user_id: Set(user_id),
        sealed_secret: Set(seal.seal(&context(user_id), secret)),
        created_at: Set(now),
        confirmed_at: Set(None),
        last_step: Set(0),
    };
    let mut replace = OnConflict::column(Column::UserId);
    replace
        .update_columns([Column::SealedSecret, Column::CreatedAt, Column::LastStep])
        .action_and_where(Expr::col((Entity, Column::ConfirmedAt)).is_null());
    let stored = Entity::insert(row)
        .on_conflict(replace)
        .exec_without_returning(db)
        .await?;
    Ok(stored == 1)
}

/// Returns the secret of an account, confirmed or not.
pub async fn find(db: &impl ConnectionTrait, user_id: i64) -> Result<Option<Model>, DbErr> {
    find_unique(Entity::find_by_id(user_id), db).await
}

/// Returns the confirmed secret of an account.
pub async fn find_confirmed(
    db: &impl ConnectionTrait,
    user_id: i64,
) -> Result<Option<Model>, DbErr> {
    let found = find(db, user_id).await?;
    Ok(found.filter(|secret| secret.confirmed_at.is_some()))
}

/// Returns whether any account has a secret.
pub async fn exists(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(Entity::find().one(db).await?.is_some())
}

/// Confirms a secret by the code of a time step, which is used then. Returns false if the secret is confirmed or has been replaced.
pub async fn confirm(
    db: &impl ConnectionTrait,
    secret: &Model,
    step: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let confirmed = Entity::update_many()
        .col_expr(Column::ConfirmedAt, Expr::value(now))
        .col_expr(Column::LastStep, Expr::value(step))
        .filter(Column::UserId.eq(secret.user_id))
        .filter(Column::SealedSecret.eq(secret.sealed_secret.clone()))
        .filter(Column::ConfirmedAt.is_null())
        .exec(db)
        .await?;
    Ok(confirmed.rows_affected == 1)
}

/// Uses the code of a time step. Returns false if a code of this step or of a later one was used. A single UPDATE decides, so that one
/// code is accepted once (RFC 6238, 5.2).
pub async fn use_step(db: &impl ConnectionTrait, user_id: i64, step: i64) -> Result<bool, DbErr> {
    let used = Entity::update_many()
        .col_expr(Column::LastStep, Expr::value(step))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::LastStep.lt(step))
        .exec(db)
        .await?;
    Ok(used.rows_affected == 1)
}

/// Deletes the secret of an account. Returns whether it had one.
pub async fn delete(db: &impl ConnectionTrait, user_id: i64) -> Result<bool, DbErr> {
    let deleted = Entity::delete_by_id(user_id).exec(db).await?;
    Ok(deleted.rows_affected == 1)
}
