//! Recovery codes: each replaces another second factor once.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, PaginatorTrait as _, QueryOrder as _, entity::prelude::*, sea_query::Expr,
};

use crate::crypto::token_hash::TokenHash;

/// A recovery code of an account.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "recovery_codes")]
pub struct Model {
    /// A UUID v7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The hash of the account's id and the code.
    #[sea_orm(unique)]
    pub code_hash: TokenHash,
    /// The account.
    pub user_id: i64,
    /// When the code was created.
    pub created_at: DateTime<Utc>,
    /// When the code was used.
    pub used_at: Option<DateTime<Utc>>,
}

/// No relations: the codes are found by their account.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Replaces the recovery codes of an account.
pub async fn replace(
    db: &impl ConnectionTrait,
    user_id: i64,
    codes: impl IntoIterator<Item = TokenHash>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    delete(db, user_id).await?;
    let rows = codes.into_iter().map(|code_hash| ActiveModel {
        id: Set(Uuid::now_v7()),
        code_hash: Set(code_hash),
        user_id: Set(user_id),
        created_at: Set(now),
        used_at: Set(None),
    });
    Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

/// Returns the codes of an account, used ones too, the oldest first.
pub async fn list(db: &impl ConnectionTrait, user_id: i64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Returns the number of unused codes of an account.
pub async fn count_unused(db: &impl ConnectionTrait, user_id: i64) -> Result<u64, DbErr> {
    unused(user_id).count(db).await
}

/// Returns whether an account has this unused code.
pub async fn is_unused(
    db: &impl ConnectionTrait,
    user_id: i64,
    code_hash: &TokenHash,
) -> Result<bool, DbErr> {
    let found = unused(user_id).filter(Column::CodeHash.eq(code_hash.clone()));
    Ok(found.one(db).await?.is_some())
}

fn unused(user_id: i64) -> Select<Entity> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::UsedAt.is_null())
}

/// Uses a code. Returns false if the account has no such unused code. A single UPDATE decides, so that one code is accepted once.
pub async fn use_code(
    db: &impl ConnectionTrait,
    user_id: i64,
    code_hash: &TokenHash,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let used = Entity::update_many()
        .col_expr(Column::UsedAt, Expr::value(now))
        .filter(Column::CodeHash.eq(code_hash.clone()))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::UsedAt.is_null())
        .exec(db)
        .await?;
    Ok(used.rows_affected == 1)
}

/// Deletes the codes of an account.
pub async fn delete(db: &impl ConnectionTrait, user_id: i64) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .exec(db)
        .await?;
    Ok(())
}
