//! The requests of an account, for its export and its deletion.

use chrono::{DateTime, Utc};
use sea_orm::{QueryOrder as _, QuerySelect as _, entity::prelude::*};

use crate::models::{
    password_reset::{Column, Entity, Model, delete_all},
    user,
};

/// Deletes all requests of an account, and those for its emails that no worker has bound to an account.
pub async fn delete_about(
    db: &impl ConnectionTrait,
    user: &user::Model,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    delete_all(db, &[user.id]).await?;
    Entity::delete_many()
        .filter(Column::EmailKey.is_in([user.reset_email(now).key(), user.email_key.clone()]))
        .filter(Column::UserId.is_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Returns the requests of an account with ids after `after`, the oldest first. Requests that name only its email may be those of an
/// earlier owner.
pub async fn list_concerning(
    db: &impl ConnectionTrait,
    user_id: i64,
    after: Uuid,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}
