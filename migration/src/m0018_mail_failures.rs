//! What made the last attempt to send a mail fail, and when.

use sea_orm_migration::{
    prelude::*,
    schema::{string_len_null, timestamp_with_time_zone_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column at a time.
        for column in [
            string_len_null(Mails::Failure, 64),
            timestamp_with_time_zone_null(Mails::FailedAt),
        ] {
            let change = Table::alter()
                .table(Mails::Table)
                .add_column(column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        // The index has the rows of failed attempts alone, so its size follows their number and not the history.
        let index =
            "CREATE INDEX idx_mails_failed_at ON mails (failed_at) WHERE failure IS NOT NULL";
        let db = manager.get_connection();
        db.execute_unprepared(index).await.map(|_| ())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("DROP INDEX idx_mails_failed_at")
            .await?;
        for column in [Mails::Failure, Mails::FailedAt] {
            let change = Table::alter()
                .table(Mails::Table)
                .drop_column(column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Mails {
    Table,
    Failure,
    FailedAt,
}
