//! Mails: the outbox and its history.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer_null, boolean, integer, string_len, string_len_null, timestamp_with_time_zone,
        timestamp_with_time_zone_null, uuid, uuid_null,
    },
};

use crate::create_indexes;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The relay asks every second for due mails, and metrics ask for the oldest queued mail. The partial indexes hold few rows, so their
/// size follows the backlog and not the history. Mails with codes name no account, so they are not in `idx_mails_user_id` and
/// `idx_mails_mailbox`. The latter serves mail budgets while Redis refuses writes.
const INDEXES: [(&str, &str); 9] = [
    ("idx_mails_created_at", "mails (created_at)"),
    ("idx_mails_state", "mails (state, id)"),
    ("idx_mails_recipient", "mails (lower(recipient), id)"),
    ("idx_mails_recipient_key", "mails (recipient_key, id)"),
    (
        "idx_mails_mailbox",
        "mails (recipient_mailbox, kind, created_at) WHERE user_id IS NOT NULL",
    ),
    (
        "idx_mails_user_id",
        "mails (user_id, id) WHERE user_id IS NOT NULL",
    ),
    (
        "idx_mails_due",
        "mails (urgent, next_attempt_at) WHERE state = 'queued'",
    ),
    (
        "idx_mails_queued",
        "mails (created_at) WHERE state = 'queued'",
    ),
    (
        "idx_mails_failed_at",
        "mails (failed_at) WHERE failure IS NOT NULL",
    ),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(Mails::Table)
            .col(uuid(Mails::Id).primary_key())
            .col(string_len(Mails::Kind, 32))
            .col(boolean(Mails::Urgent).default(false))
            .col(string_len(Mails::Recipient, 254))
            .col(string_len(Mails::RecipientKey, 254).default(""))
            .col(string_len(Mails::RecipientMailbox, 254).default(""))
            .col(boolean(Mails::RecipientVerified).default(false))
            .col(uuid_null(Mails::ResetId))
            .col(big_integer_null(Mails::UserId))
            .col(string_len_null(Mails::CustomerNetwork, 64))
            .col(boolean(Mails::BeyondBudget).default(false))
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
            .col(string_len_null(Mails::Failure, 64))
            .col(timestamp_with_time_zone_null(Mails::FailedAt))
            .col(timestamp_with_time_zone_null(Mails::SentAt))
            .col(string_len(Mails::MessageId, 300))
            .col(string_len(Mails::RequestId, 64))
            .col(string_len_null(Mails::Trace, 64))
            .to_owned();
        manager.create_table(table).await?;
        create_indexes(manager, &INDEXES).await
    }
}

#[derive(DeriveIden)]
enum Mails {
    Table,
    Id,
    Kind,
    Urgent,
    Recipient,
    RecipientKey,
    RecipientMailbox,
    RecipientVerified,
    ResetId,
    UserId,
    CustomerNetwork,
    BeyondBudget,
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
    Failure,
    FailedAt,
    SentAt,
    MessageId,
    RequestId,
    Trace,
}
