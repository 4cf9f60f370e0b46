//! An index of the password hashes that an import brought in and no login has replaced yet.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Hashes of this service begin with `$`, those of Django with a letter. The expressions are those of
/// `latchkey_shared::models::user::old_hash`.
const POSTGRES: &str = "CREATE INDEX idx_users_old_hash ON users ((password_hash COLLATE \"C\")) \
    WHERE password_hash COLLATE \"C\" >= 'a'";
const SQLITE: &str =
    "CREATE INDEX idx_users_old_hash ON users (password_hash) WHERE password_hash >= 'a'";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        manager.get_connection().execute_unprepared(index).await?;
        Ok(())
    }
}
