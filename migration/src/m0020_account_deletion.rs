//! When an account is deleted at the request of its owner, and indexes of what its deletion looks up.

use sea_orm_migration::{prelude::*, schema::timestamp_with_time_zone_null, sea_orm::DbBackend};

use crate::{create_indexes, m0001_users::Users};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Few rows match, so the indexes stay small: accounts that will be deleted, requests for codes that no worker has bound to an
/// account, and mails to owners of deleted accounts.
const INDEXES: [(&str, &str); 3] = [
    (
        "idx_users_deletion_at",
        "users (deletion_at) WHERE deletion_at IS NOT NULL",
    ),
    (
        "idx_password_resets_unbound",
        "password_resets (email_key) WHERE user_id IS NULL",
    ),
    (
        "idx_mails_account_deleted",
        "mails (id) WHERE kind = 'account_deleted'",
    ),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table(Users::Table)
            .add_column(timestamp_with_time_zone_null("deletion_at"))
            .to_owned();
        manager.alter_table(table).await?;
        // The length of a language tag in `users`. SQLite ignores lengths.
        if manager.get_database_backend() == DbBackend::Postgres {
            let widen = "ALTER TABLE mails ALTER COLUMN locale TYPE varchar(35)";
            manager.get_connection().execute_unprepared(widen).await?;
        }
        create_indexes(manager, &INDEXES).await
    }
}
