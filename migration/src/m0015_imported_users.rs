//! The accounts that an import created.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary, boolean, string_len, timestamp_with_time_zone},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Without a foreign key: the row outlives the account, so that a further import does not create a deleted account again.
        let table = Table::create()
            .table(ImportedUsers::Table)
            .col(big_integer(ImportedUsers::UserId).primary_key().to_owned())
            .col(string_len(ImportedUsers::Source, 16))
            .col(timestamp_with_time_zone(ImportedUsers::ImportedAt))
            .col(binary(ImportedUsers::Fingerprints))
            .col(boolean(ImportedUsers::HasNewPassword).default(false))
            .to_owned();
        manager.create_table(table).await
    }
}

#[derive(DeriveIden)]
enum ImportedUsers {
    Table,
    UserId,
    Source,
    ImportedAt,
    Fingerprints,
    HasNewPassword,
}
