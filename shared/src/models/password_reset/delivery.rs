//! What the delivery of a code changes: the account, the recipient and the expiry.

use chrono::{DateTime, Utc};
use sea_orm::{
    QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    database,
    models::{
        password_reset::{Column, Entity, Model, Purpose},
        user,
    },
    types::email::EmailKey,
};

/// Binds password resets to the active accounts of their emails. Returns the updated requests.
///
/// The other requests name their account. An activation stays bound to the account of its registration: a later registration with
/// the email may be a stranger's, whose password the owner of the email must not activate.
pub async fn bind(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Model>, DbErr> {
    use user::Column as User;
    let of_user = |column: User| Expr::col((user::Entity, column));
    let is_reserved = of_user(User::ConfirmedEmailKey)
        .equals((Entity, Column::EmailKey))
        .and(
            of_user(User::EmailTrustedFrom)
                .is_null()
                .or(of_user(User::EmailTrustedFrom).gt(Expr::col((Entity, Column::CreatedAt)))),
        );
    let owner = user::Entity::find()
        .select_only()
        .column(User::Id)
        .filter(
            of_user(User::EmailKey)
                .equals((Entity, Column::EmailKey))
                .or(is_reserved),
        )
        .filter(User::IsActive.eq(true))
        .limit(1)
        .into_query();
    let is_reset = Expr::col((Entity, Column::Purpose)).eq(Purpose::Reset);
    let bound = Expr::case(is_reset, Expr::from(owner));
    let named = Expr::col((Entity, Column::UserId));
    Entity::update_many()
        .col_expr(Column::UserId, bound.finally(named).into())
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)))
        .exec_with_returning(db)
        .await
}

/// Records the email that the code of a request goes to.
pub async fn set_recipient(
    db: &impl ConnectionTrait,
    id: Uuid,
    recipient: &EmailKey,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::RecipientKey, Expr::value(recipient.clone()))
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}

/// Starts the lifetime of codes whose mails were accepted: they expire at `end`, but not later than their requests.
pub async fn start_code_lifetimes(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    end: DateTime<Utc>,
) -> Result<(), DbErr> {
    let first = Expr::case(Column::ExpiresAt.lt(end), Expr::col(Column::ExpiresAt));
    Entity::update_many()
        .col_expr(Column::CodeExpiresAt, first.finally(end).into())
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)))
        .exec(db)
        .await?;
    Ok(())
}
