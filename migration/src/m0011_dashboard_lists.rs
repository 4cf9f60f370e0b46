//! Indexes for who waits to be let in, and for the mails of an account.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Each holds some rows alone: an account leaves the first when it is let in, and codes, whose mails name no account, are
/// never in the second.
const INDEXES: [(&str, &str); 2] = [
    (
        "idx_users_waiting",
        "users (is_activated, is_active, id) WHERE is_activated = FALSE",
    ),
    (
        "idx_mails_user",
        "mails (user_id, id) WHERE user_id IS NOT NULL",
    ),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for (name, rows) in INDEXES {
            db.execute_unprepared(&format!("CREATE INDEX {name} ON {rows}"))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for (name, _) in INDEXES {
            db.execute_unprepared(&format!("DROP INDEX {name}")).await?;
        }
        Ok(())
    }
}
