//! Indexes of who waits to be let in: those that wait for an administrator, and apart those that wait for their owners.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// What each index has: its columns on SQLite, which of several takes the one whose columns are named as equal, and its rows.
/// PostgreSQL takes the columns for independent of each other, and so guesses well only where an index holds just what is
/// looked for.
const INDEXES: [(&str, &str, &str); 2] = [
    (
        "idx_users_waiting_for_us",
        "is_activated, is_active, awaits_owner, id",
        "is_activated = FALSE AND is_active = TRUE AND awaits_owner = FALSE",
    ),
    (
        "idx_users_awaits_owner",
        "awaits_owner, is_activated, is_active, id",
        "awaits_owner = TRUE",
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
