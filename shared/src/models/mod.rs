//! Entities with their queries.

use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QuerySelect as _};

pub mod api_token;
pub mod audit;
pub mod data_key;
pub mod imported_user;
pub mod mail;
pub mod original_token;
pub mod password_reset;
pub mod recovery_code;
pub mod role;
pub mod session;
pub mod signing_key;
pub mod totp_secret;
pub mod user;

/// Checks that the database has all tables and columns of the entities. Reads no rows.
pub(crate) async fn check_schema(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    check_table::<user::Entity>(db).await?;
    check_table::<role::Entity>(db).await?;
    check_table::<role::assignment::Entity>(db).await?;
    check_table::<imported_user::Entity>(db).await?;
    check_table::<original_token::Entity>(db).await?;
    check_table::<session::Entity>(db).await?;
    check_table::<api_token::Entity>(db).await?;
    check_table::<password_reset::Entity>(db).await?;
    check_table::<totp_secret::Entity>(db).await?;
    check_table::<recovery_code::Entity>(db).await?;
    check_table::<mail::Entity>(db).await?;
    check_table::<audit::Entity>(db).await?;
    check_table::<audit::head::Entity>(db).await?;
    check_table::<audit::details::Entity>(db).await?;
    check_table::<data_key::Entity>(db).await?;
    check_table::<signing_key::Entity>(db).await
}

/// Prepares a query of all columns, which fails if one is missing.
async fn check_table<E: EntityTrait>(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    E::find().limit(0).all(db).await.map(drop)
}
