//! The requests of an account, for its export and its deletion.

use sea_orm::{Condition, QueryOrder as _, QuerySelect as _, entity::prelude::*};

use crate::{
    models::{
        password_reset::{Column, Entity, Model, delete_all},
        user,
    },
    types::email::EmailKey,
};

/// The keys of the emails that requests for codes of the account may name.
fn keys_of(user: &user::Model) -> impl Iterator<Item = &str> {
    let confirmed = user.confirmed_email_key.as_ref();
    std::iter::once(&user.email_key)
        .chain(confirmed)
        .map(EmailKey::as_str)
}

/// Deletes all requests of an account, and those for its email that no worker has bound to an account.
pub async fn delete_about(db: &impl ConnectionTrait, user: &user::Model) -> Result<(), DbErr> {
    delete_all(db, &[user.id]).await?;
    Entity::delete_many()
        .filter(Column::EmailKey.is_in(keys_of(user)))
        .filter(Column::UserId.is_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Returns the requests of an account, and those for its email that no worker has bound to an account, with ids after `after`, the
/// oldest first.
pub async fn list_concerning(
    db: &impl ConnectionTrait,
    user: &user::Model,
    after: Uuid,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let unbound = Condition::all()
        .add(Column::EmailKey.is_in(keys_of(user)))
        .add(Column::UserId.is_null());
    Entity::find()
        .filter(
            Condition::any()
                .add(Column::UserId.eq(user.id))
                .add(unbound),
        )
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}
