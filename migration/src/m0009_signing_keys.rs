//! The keys that sign access tokens.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, blob, string_len, string_len_uniq, timestamp_with_time_zone,
        timestamp_with_time_zone_null,
    },
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(SigningKeys::Table)
            .col(big_integer(SigningKeys::Number).primary_key())
            .col(string_len_uniq(SigningKeys::Kid, 43))
            .col(string_len(SigningKeys::Algorithm, 16))
            .col(blob(SigningKeys::PublicKey))
            .col(blob(SigningKeys::SealedPrivateKey))
            .col(timestamp_with_time_zone(SigningKeys::CreatedAt))
            .col(timestamp_with_time_zone(SigningKeys::SignsFrom))
            .col(timestamp_with_time_zone_null(SigningKeys::RevokedAt))
            .to_owned();
        manager.create_table(table).await
    }
}

#[derive(DeriveIden)]
enum SigningKeys {
    Table,
    Number,
    Kid,
    Algorithm,
    PublicKey,
    SealedPrivateKey,
    CreatedAt,
    SignsFrom,
    RevokedAt,
}
