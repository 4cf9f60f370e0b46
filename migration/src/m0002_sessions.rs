//! Sessions of users.

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
        let user = ForeignKey::create()
            .from(Sessions::Table, Sessions::UserId)
            .to(Users::Table, Users::Id)
            .on_delete(ForeignKeyAction::Cascade)
            .to_owned();
        let table = Table::create()
            .table(Sessions::Table)
            .col(uuid(Sessions::Id).primary_key())
            .col(big_integer(Sessions::UserId))
            .col(string_len(Sessions::SecretHash, 64))
            .col(string_len(Sessions::RotationTimes, 300))
            .col(string_len_null(Sessions::UserAgent, 200))
            .col(string_len_null(Sessions::ClientIp, 45))
            .col(timestamp_with_time_zone(Sessions::CreatedAt))
            .col(timestamp_with_time_zone(Sessions::LastUsedAt))
            .col(timestamp_with_time_zone(Sessions::ExpiresAt))
            .col(timestamp_with_time_zone_null(Sessions::RevokedAt))
            .foreign_key(&mut user.clone())
            .to_owned();
        manager.create_table(table).await?;
        let indexes = [
            ("idx_sessions_user_id", "sessions (user_id)"),
            ("idx_sessions_expires_at", "sessions (expires_at)"),
        ];
        create_indexes(manager, &indexes).await
    }
}

#[derive(DeriveIden)]
enum Sessions {
    Table,
    Id,
    UserId,
    SecretHash,
    RotationTimes,
    UserAgent,
    ClientIp,
    CreatedAt,
    LastUsedAt,
    ExpiresAt,
    RevokedAt,
}
