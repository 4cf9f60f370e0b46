//! The outbox.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer_null, integer, string_len, string_len_null, timestamp_with_time_zone,
        timestamp_with_time_zone_null, uuid, uuid_null,
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
                    .table(Mails::Table)
                    .col(uuid(Mails::Id).primary_key())
                    .col(string_len(Mails::Kind, 32))
                    .col(string_len(Mails::Recipient, 254))
                    .col(uuid_null(Mails::ResetId))
                    .col(big_integer_null(Mails::UserId))
                    .col(string_len(Mails::Locale, 8))
                    .col(timestamp_with_time_zone(Mails::CreatedAt))
                    .col(timestamp_with_time_zone(Mails::DeliverBefore))
                    .col(string_len(Mails::State, 16))
                    .col(integer(Mails::Attempts))
                    .col(timestamp_with_time_zone(Mails::NextAttemptAt))
                    .col(timestamp_with_time_zone_null(Mails::PushedAt))
                    .col(uuid_null(Mails::ClaimedBy))
                    .col(timestamp_with_time_zone_null(Mails::ClaimedUntil))
                    .col(string_len_null(Mails::LastError, 500))
                    .col(timestamp_with_time_zone_null(Mails::SentAt))
                    .col(string_len(Mails::MessageId, 300))
                    .col(string_len(Mails::RequestId, 64))
                    .to_owned(),
            )
            .await?;
        // The relay asks once a second for what is due. The index holds waiting rows alone, so its size
        // follows the backlog and not the history.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX idx_mails_due ON mails (next_attempt_at) WHERE state = 'queued'",
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("idx_mails_created_at")
                    .table(Mails::Table)
                    .col(Mails::CreatedAt)
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(Mails::Table).to_owned())
            .await
    }
}

#[derive(DeriveIden)]
enum Mails {
    Table,
    Id,
    Kind,
    Recipient,
    ResetId,
    UserId,
    Locale,
    CreatedAt,
    DeliverBefore,
    State,
    Attempts,
    NextAttemptAt,
    PushedAt,
    ClaimedBy,
    ClaimedUntil,
    LastError,
    SentAt,
    MessageId,
    RequestId,
}
