//! API tokens of staff, and the name of the token in the mail about its creation.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, string_len, string_len_null, timestamp_with_time_zone,
        timestamp_with_time_zone_null, uuid,
    },
};

use crate::{create_indexes, m0001_users::Users};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut owner = ForeignKey::create()
            .from(ApiTokens::Table, ApiTokens::UserId)
            .to(Users::Table, Users::Id)
            .on_delete(ForeignKeyAction::Cascade)
            .to_owned();
        let table = Table::create()
            .table(ApiTokens::Table)
            .col(uuid(ApiTokens::Id).primary_key())
            .col(big_integer(ApiTokens::UserId))
            .col(string_len(ApiTokens::Name, 60))
            .col(string_len(ApiTokens::TokenHash, 64).unique_key())
            .col(string_len(ApiTokens::Permissions, 200))
            .col(timestamp_with_time_zone(ApiTokens::CreatedAt))
            .col(timestamp_with_time_zone(ApiTokens::ExpiresAt))
            .col(timestamp_with_time_zone_null(ApiTokens::LastUsedAt))
            .col(timestamp_with_time_zone_null(ApiTokens::RevokedAt))
            .foreign_key(&mut owner)
            .to_owned();
        manager.create_table(table).await?;
        let indexes = [("idx_api_tokens_user", "api_tokens (user_id, id)")];
        create_indexes(manager, &indexes).await?;
        let name = Table::alter()
            .table(Mails::Table)
            .add_column(string_len_null(Mails::ApiTokenName, 60))
            .to_owned();
        manager.alter_table(name).await
    }
}

#[derive(DeriveIden)]
enum ApiTokens {
    Table,
    Id,
    UserId,
    Name,
    TokenHash,
    Permissions,
    CreatedAt,
    ExpiresAt,
    LastUsedAt,
    RevokedAt,
}

#[derive(DeriveIden)]
enum Mails {
    Table,
    ApiTokenName,
}
