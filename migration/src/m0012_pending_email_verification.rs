//! Accounts whose owners may activate them. Accounts from before this migration are pending approval by staff.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = "ALTER TABLE users ADD COLUMN pending_email_verification BOOLEAN NOT NULL DEFAULT FALSE";
        let db = manager.get_connection();
        db.execute_unprepared(column).await.map(|_| ())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = "ALTER TABLE users DROP COLUMN pending_email_verification";
        let db = manager.get_connection();
        db.execute_unprepared(column).await.map(|_| ())
    }
}
