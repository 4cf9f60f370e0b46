//! The key of the mailbox that a mail goes to, by which lists find it whatever its spelling is. Mails of before get their
//! address in lower case, which is its key where it is ASCII.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for step in [
            "ALTER TABLE mails ADD COLUMN recipient_key VARCHAR(254) NOT NULL DEFAULT ''",
            "UPDATE mails SET recipient_key = lower(recipient)",
            "CREATE INDEX idx_mails_recipient_key ON mails (recipient_key, id)",
        ] {
            db.execute_unprepared(step).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for step in [
            "DROP INDEX idx_mails_recipient_key",
            "ALTER TABLE mails DROP COLUMN recipient_key",
        ] {
            db.execute_unprepared(step).await?;
        }
        Ok(())
    }
}
