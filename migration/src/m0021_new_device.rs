//! The mail about a login from a new device: the device in its row, and an index by which a login finds the newest sessions of its account.

use sea_orm_migration::{prelude::*, schema::string_len_null};

use crate::create_indexes;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let device = Table::alter()
            .table(Mails::Table)
            .add_column(string_len_null(Mails::Device, 100))
            .to_owned();
        manager.alter_table(device).await?;
        let indexes = [("idx_sessions_user", "sessions (user_id, id)")];
        create_indexes(manager, &indexes).await?;
        // The new index serves its queries, too.
        let drop = "DROP INDEX idx_sessions_user_id";
        manager.get_connection().execute_unprepared(drop).await?;
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Mails {
    Table,
    Device,
}
