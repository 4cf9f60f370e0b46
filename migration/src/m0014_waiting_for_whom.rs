//! Indexes of who waits to be let in: those that wait for an administrator, and apart those that wait for their owners.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Which rows each index has. PostgreSQL takes the columns for independent of each other, and so guesses well only where an
/// index holds just what is looked for.
const INDEXES: [(&str, &str); 2] = [
    (
        "idx_users_waiting_for_us",
        "is_activated = FALSE AND is_active = TRUE AND awaits_owner = FALSE",
    ),
    ("idx_users_awaits_owner", "awaits_owner = TRUE"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// Begun and not ended, it can be done again.
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        // Of several indexes SQLite takes the one whose columns are named as equal.
        let columns = match manager.get_database_backend() {
            DbBackend::Sqlite => "is_activated, is_active, awaits_owner, id",
            _ => "id",
        };
        for (name, rows) in INDEXES {
            let index =
                format!("CREATE INDEX IF NOT EXISTS {name} ON users ({columns}) WHERE {rows}");
            db.execute_unprepared(&index).await?;
        }
        drop(db, "idx_users_waiting").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let before = "CREATE INDEX IF NOT EXISTS idx_users_waiting ON users (is_activated, is_active, id) \
                      WHERE is_activated = FALSE";
        db.execute_unprepared(before).await?;
        for (name, _) in INDEXES {
            drop(db, name).await?;
        }
        Ok(())
    }
}

async fn drop(db: &SchemaManagerConnection<'_>, index: &str) -> Result<(), DbErr> {
    let drop = format!("DROP INDEX IF EXISTS {index}");
    db.execute_unprepared(&drop).await.map(|_| ())
}
