//! The data keys, sealed by `SECRET_KEY`.

use sea_orm_migration::{
    prelude::*,
    schema::{blob, string_len},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(DataKeys::Table)
            .col(string_len(DataKeys::Purpose, 40).primary_key())
            .col(blob(DataKeys::SealedKey))
            .col(string_len(DataKeys::SealedBy, 16))
            .to_owned();
        manager.create_table(table).await
    }
}

#[derive(DeriveIden)]
enum DataKeys {
    Table,
    Purpose,
    SealedKey,
    SealedBy,
}
