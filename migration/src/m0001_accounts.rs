//! Users, their sessions and their password resets.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, big_pk_auto, boolean, date_null, integer, string,
        string_len, string_len_null, string_len_uniq, timestamp_with_time_zone,
        timestamp_with_time_zone_null, uuid,
    },
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Users::Table)
                    .col(big_pk_auto(Users::Id))
                    .col(string_len(Users::Email, 254))
                    .col(string_len_uniq(Users::EmailKey, 254))
                    .col(string_len(Users::Username, 45))
                    .col(string(Users::PasswordHash))
                    .col(string_len_null(Users::PhoneNumber, 16))
                    .col(string_len_null(Users::Picture, 64))
                    .col(date_null(Users::DateBirth))
                    .col(string_len_null(Users::Gender, 6))
                    .col(boolean(Users::IsActivated))
                    .col(boolean(Users::IsActive))
                    .col(boolean(Users::IsStaff))
                    .col(boolean(Users::IsSuperuser))
                    .col(timestamp_with_time_zone(Users::CreatedAt))
                    .col(timestamp_with_time_zone_null(Users::LastLoginAt))
                    .to_owned(),
            )
            .await?;

        manager
            .create_table(
                Table::create()
                    .table(Sessions::Table)
                    .col(uuid(Sessions::Id).primary_key())
                    .col(big_integer(Sessions::UserId))
                    .col(string_len(Sessions::SecretHash, 64))
                    .col(string_len_null(Sessions::UserAgent, 200))
                    .col(string_len_null(Sessions::Peer, 45))
                    .col(timestamp_with_time_zone(Sessions::CreatedAt))
                    .col(timestamp_with_time_zone(Sessions::LastUsedAt))
                    .col(timestamp_with_time_zone(Sessions::ExpiresAt))
                    .col(timestamp_with_time_zone_null(Sessions::RevokedAt))
                    .foreign_key(
                        ForeignKey::create()
                            .from(Sessions::Table, Sessions::UserId)
                            .to(Users::Table, Users::Id)
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        for column in [Sessions::UserId, Sessions::ExpiresAt] {
            manager.create_index(index(Sessions::Table, column)).await?;
        }

        manager
            .create_table(
                Table::create()
                    .table(PasswordResets::Table)
                    .col(uuid(PasswordResets::Id).primary_key())
                    .col(string_len(PasswordResets::EmailKey, 254))
                    .col(string_len_uniq(PasswordResets::TokenHash, 64))
                    .col(big_integer_null(PasswordResets::UserId))
                    .col(timestamp_with_time_zone(PasswordResets::CreatedAt))
                    .col(timestamp_with_time_zone(PasswordResets::ExpiresAt))
                    .col(timestamp_with_time_zone_null(PasswordResets::CodeExpiresAt))
                    .col(integer(PasswordResets::Tries))
                    .col(timestamp_with_time_zone_null(PasswordResets::CheckedAt))
                    .col(timestamp_with_time_zone_null(PasswordResets::EndedAt))
                    .foreign_key(
                        ForeignKey::create()
                            .from(PasswordResets::Table, PasswordResets::UserId)
                            .to(Users::Table, Users::Id)
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        for column in [PasswordResets::UserId, PasswordResets::ExpiresAt] {
            manager
                .create_index(index(PasswordResets::Table, column))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(PasswordResets::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Sessions::Table).to_owned())
            .await?;
        manager
            .drop_table(Table::drop().table(Users::Table).to_owned())
            .await
    }
}

fn index(table: impl Iden + 'static, column: impl Iden + 'static) -> IndexCreateStatement {
    let name = format!("idx_{}_{}", table.unquoted(), column.unquoted());
    Index::create()
        .name(name)
        .table(table)
        .col(column)
        .to_owned()
}

#[derive(DeriveIden)]
enum Users {
    Table,
    Id,
    Email,
    EmailKey,
    Username,
    PasswordHash,
    PhoneNumber,
    Picture,
    DateBirth,
    Gender,
    IsActivated,
    IsActive,
    IsStaff,
    IsSuperuser,
    CreatedAt,
    LastLoginAt,
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    Id,
    UserId,
    SecretHash,
    UserAgent,
    Peer,
    CreatedAt,
    LastUsedAt,
    ExpiresAt,
    RevokedAt,
}

#[derive(DeriveIden)]
enum PasswordResets {
    Table,
    Id,
    EmailKey,
    TokenHash,
    UserId,
    CreatedAt,
    ExpiresAt,
    CodeExpiresAt,
    Tries,
    CheckedAt,
    EndedAt,
}
