//! The index of who waits to be let in tells those that wait for an administrator from those that wait for their owners.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const BEFORE: (&str, &str) = ("idx_users_waiting", "is_activated, is_active, id");
const NOW: (&str, &str) = (
    "idx_users_waiting_for",
    "is_activated, is_active, awaits_owner, id",
);

/// One index in the place of another; begun and not ended, it can be done again.
async fn replace(
    manager: &SchemaManager<'_>,
    (old, _): (&str, &str),
    (new, columns): (&str, &str),
) -> Result<(), DbErr> {
    let db = manager.get_connection();
    let create =
        format!("CREATE INDEX IF NOT EXISTS {new} ON users ({columns}) WHERE is_activated = FALSE");
    db.execute_unprepared(&create).await?;
    let drop = format!("DROP INDEX IF EXISTS {old}");
    db.execute_unprepared(&drop).await.map(|_| ())
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace(manager, BEFORE, NOW).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        replace(manager, NOW, BEFORE).await
    }
}
