//! Requests to confirm an email.

use chrono::{DateTime, Utc};
use sea_orm::{QueryOrder as _, entity::prelude::*, sea_query::Expr};

use crate::models::password_reset::{Column, Entity, Model, Purpose};

/// Returns the newest open request of an account to confirm an email.
pub async fn find_email_change(
    db: &impl ConnectionTrait,
    user_id: i64,
    now: DateTime<Utc>,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Purpose.eq(Purpose::EmailChange))
        .filter(Column::EndedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .order_by_desc(Column::Id)
        .one(db)
        .await
}

/// Returns the request `first` of an account to confirm an email, and the later ones.
pub async fn list_email_changes(
    db: &impl ConnectionTrait,
    user_id: i64,
    first: Uuid,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Purpose.eq(Purpose::EmailChange))
        .filter(Column::Id.gte(first))
        .all(db)
        .await
}

/// Ends the requests of an account to confirm an email. Returns whether one was open.
pub async fn end_email_changes(
    db: &impl ConnectionTrait,
    user_id: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let ended = Entity::update_many()
        .col_expr(Column::EndedAt, Expr::value(now))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Purpose.eq(Purpose::EmailChange))
        .filter(Column::EndedAt.is_null())
        .exec_with_returning(db)
        .await?;
    Ok(ended.iter().any(|request| now < request.expires_at))
}
