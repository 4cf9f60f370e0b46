//! Whether logins to an account need a second factor.

use chrono::{DateTime, Utc};
use sea_orm::{entity::prelude::*, sea_query::Expr};

use crate::models::user::{Column, Entity};

/// Makes logins need a second factor from now on. Keeps the time of an account that has one already.
pub async fn begin_second_factor(
    db: &impl ConnectionTrait,
    id: i64,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::SecondFactorAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::SecondFactorAt.is_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Makes logins need the password only.
pub async fn end_second_factor(db: &impl ConnectionTrait, id: i64) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::SecondFactorAt, Expr::value(None::<DateTime<Utc>>))
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}
