//! The password hashes that are not of this service: those of imported accounts that have not logged in since.
//!
//! They begin with the name of a Django function, and those of this service with `$`. A partial index has the former in byte order.

use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait as _, ExprTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, sea_query::Expr,
};

use super::{Column, Entity};

/// Returns the first old hash.
pub async fn first(db: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    from(db, "a".to_owned()).await
}

/// Returns the first old hash after all that begin with `prefix`.
pub async fn first_after(db: &impl ConnectionTrait, prefix: &str) -> Result<Option<String>, DbErr> {
    let mut start = prefix.to_owned();
    // `%` is the byte after `$`.
    if start.pop() == Some('$') {
        start.push('%');
    } else {
        start = format!("{prefix} ");
    }
    from(db, start).await
}

async fn from(db: &impl ConnectionTrait, start: String) -> Result<Option<String>, DbErr> {
    // The expression of the index, so that the databases use it.
    let hash = match db.get_database_backend() {
        DbBackend::Postgres => "password_hash COLLATE \"C\"",
        _ => "password_hash",
    };
    Entity::find()
        .select_only()
        .column(Column::PasswordHash)
        .filter(Expr::cust(format!("{hash} >= 'a'")))
        .filter(Expr::cust(hash).gte(start))
        .order_by_asc(Expr::cust(hash))
        .limit(1)
        .into_tuple()
        .one(db)
        .await
}
