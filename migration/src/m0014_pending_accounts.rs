//! Indexes of the accounts that are pending approval by staff, and of those pending verification by their owners.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// What each index has: its columns on SQLite, which of several takes the one whose columns are named as equal, and its rows.
/// PostgreSQL takes the columns for independent of each other, and so guesses well only where an index holds just what is
/// looked for.
const INDEXES: [(&str, &str, &str); 2] = [
    (
        "idx_users_pending_approval",
        "is_activated, is_active, pending_email_verification, id",
        "is_activated = FALSE AND is_active = TRUE AND pending_email_verification = FALSE",
    ),
    (
        "idx_users_pending_email_verification",
        "pending_email_verification, is_activated, is_active, id",
        "pending_email_verification = TRUE",
    ),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for (name, columns, rows) in INDEXES {
            let columns = match manager.get_database_backend() {
                DbBackend::Sqlite => columns,
                _ => "id",
            };
            // SQLite commits each, so the first may be there from a time when the second failed.
            let index =
                format!("CREATE INDEX IF NOT EXISTS {name} ON users ({columns}) WHERE {rows}");
            db.execute_unprepared(&index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for (name, ..) in INDEXES {
            db.execute_unprepared(&format!("DROP INDEX IF EXISTS {name}"))
                .await?;
        }
        Ok(())
    }
}
