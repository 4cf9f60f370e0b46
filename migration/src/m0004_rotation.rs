//! Refresh rotation: the token before the present one, and when it was replaced.

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
            string_len_null(Sessions::PreviousHash, 64),
            timestamp_with_time_zone_null(Sessions::RotatedAt),
        ] {
            let change = Table::alter()
                .table(Sessions::Table)
                .add_column(column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [Sessions::PreviousHash, Sessions::RotatedAt] {
            let change = Table::alter()
                .table(Sessions::Table)
                .drop_column(column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    PreviousHash,
    RotatedAt,
}
