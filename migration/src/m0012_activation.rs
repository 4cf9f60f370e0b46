//! Accounts that their owners let in: which these are, and what a mailed code is for.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Table, column and what it is. Accounts and requests from before are let in by administrators and for a new password.
const COLUMNS: [(&str, &str, &str); 2] = [
    ("users", "awaits_owner", "BOOLEAN NOT NULL DEFAULT FALSE"),
    (
        "password_resets",
        "purpose",
        "VARCHAR(16) NOT NULL DEFAULT 'reset'",
    ),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for (table, column, kind) in COLUMNS {
            db.execute_unprepared(&format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for (table, column, _) in COLUMNS {
            db.execute_unprepared(&format!("ALTER TABLE {table} DROP COLUMN {column}"))
                .await?;
        }
        Ok(())
    }
}
