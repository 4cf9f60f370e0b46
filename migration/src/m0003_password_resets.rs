//! Requests for a password reset or an activation by a mailed code.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer_null, integer, string_len, string_len_uniq, timestamp_with_time_zone,
        timestamp_with_time_zone_null, uuid,
    },
};

use crate::{create_indexes, m0001_users::Users};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let user = ForeignKey::create()
            .from(PasswordResets::Table, PasswordResets::UserId)
            .to(Users::Table, Users::Id)
            .on_delete(ForeignKeyAction::Cascade)
            .to_owned();
        let table = Table::create()
            .table(PasswordResets::Table)
            .col(uuid(PasswordResets::Id).primary_key())
            .col(string_len(PasswordResets::EmailKey, 254))
            .col(string_len_uniq(PasswordResets::TokenHash, 64))
            .col(string_len(PasswordResets::Purpose, 16).default("reset"))
            .col(big_integer_null(PasswordResets::UserId))
            .col(timestamp_with_time_zone(PasswordResets::CreatedAt))
            .col(timestamp_with_time_zone(PasswordResets::ExpiresAt))
            .col(timestamp_with_time_zone_null(PasswordResets::CodeExpiresAt))
            .col(integer(PasswordResets::Tries))
            .col(timestamp_with_time_zone_null(PasswordResets::CheckedAt))
            .col(timestamp_with_time_zone_null(PasswordResets::EndedAt))
            .foreign_key(&mut user.clone())
            .to_owned();
        manager.create_table(table).await?;
        let indexes = [
            ("idx_password_resets_user_id", "password_resets (user_id)"),
            (
                "idx_password_resets_expires_at",
                "password_resets (expires_at)",
            ),
        ];
        create_indexes(manager, &indexes).await
    }
}

#[derive(DeriveIden)]
enum PasswordResets {
    Table,
    Id,
    EmailKey,
    TokenHash,
    Purpose,
    UserId,
    CreatedAt,
    ExpiresAt,
    CodeExpiresAt,
    Tries,
    CheckedAt,
    EndedAt,
}
