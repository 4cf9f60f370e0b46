//! User accounts.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_pk_auto, boolean, date_null, integer, string, string_len, string_len_null,
        string_len_uniq, timestamp_with_time_zone, timestamp_with_time_zone_null,
    },
    sea_orm::DbBackend,
};

use crate::create_indexes;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Each list of the dashboard reads a page of one of these indexes from where the last page ended, so its cost does not grow with the
/// number of accounts. Ids rise with the time of registration.
const INDEXES: [(&str, &str); 7] = [
    ("idx_users_is_activated", "users (is_activated, id)"),
    ("idx_users_is_active", "users (is_active, id)"),
    ("idx_users_is_staff", "users (is_staff, id)"),
    ("idx_users_gender", "users (gender, id)"),
    ("idx_users_created_at", "users (created_at)"),
    ("idx_users_username", "users (lower(username), id)"),
    (
        "idx_users_not_activated",
        "users (is_activated, is_active, id) WHERE is_activated = FALSE",
    ),
];

/// The name, the columns and the rows of each index of pending accounts. SQLite chooses an index by its columns. PostgreSQL assumes
/// that columns are independent of each other, so it estimates well only with an index of exactly these rows.
const PENDING_INDEXES: [(&str, &str, &str); 2] = [
    (
        "idx_users_pending_approval",
        "is_activated, is_active, pending_email_verification, id",
        "is_activated = FALSE AND is_active = TRUE AND pending_email_verification = FALSE",
    ),
    (
        "idx_users_pending_email_verification",
        "pending_email_verification, is_activated, is_active, id",
        "pending_email_verification = TRUE",
    ),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(Users::Table)
            .col(big_pk_auto(Users::Id))
            .col(string_len(Users::Email, 254))
            .col(string_len_uniq(Users::EmailKey, 254))
            .col(timestamp_with_time_zone_null(Users::EmailVerifiedAt))
            .col(timestamp_with_time_zone_null(Users::EmailSetAt))
            .col(string_len(Users::Username, 45))
            .col(string(Users::PasswordHash))
            .col(string_len_null(Users::PhoneNumber, 16))
            .col(string_len_null(Users::Picture, 64))
            .col(date_null(Users::DateBirth))
            .col(string_len_null(Users::Gender, 6))
            .col(boolean(Users::IsActivated))
            .col(boolean(Users::PendingEmailVerification).default(false))
            .col(boolean(Users::IsActive))
            .col(boolean(Users::IsStaff))
            .col(boolean(Users::IsSuperuser))
            .col(string_len(Users::Permissions, 120).default(""))
            .col(timestamp_with_time_zone(Users::CreatedAt))
            .col(timestamp_with_time_zone_null(Users::LastLoginAt))
            .col(integer(Users::Version).default(0))
            .to_owned();
        manager.create_table(table).await?;
        create_indexes(manager, &INDEXES).await?;
        let is_sqlite = manager.get_database_backend() == DbBackend::Sqlite;
        for (name, columns, rows) in PENDING_INDEXES {
            let columns = if is_sqlite { columns } else { "id" };
            let index = format!("users ({columns}) WHERE {rows}");
            create_indexes(manager, &[(name, &index)]).await?;
        }
        // Accounts that never logged in sort before all others. The expression is that of `latchkey_shared::models::user::search`.
        let never = if is_sqlite {
            "'1970-01-01T00:00:00+00:00'"
        } else {
            "'1970-01-01T00:00:00+00:00'::timestamptz"
        };
        let index = format!("users (coalesce(last_login_at, {never}), id)");
        create_indexes(manager, &[("idx_users_last_login_at", &index)]).await
    }
}

#[derive(DeriveIden)]
pub(crate) enum Users {
    Table,
    Id,
    Email,
    EmailKey,
    EmailVerifiedAt,
    EmailSetAt,
    Username,
    PasswordHash,
    PhoneNumber,
    Picture,
    DateBirth,
    Gender,
    IsActivated,
    PendingEmailVerification,
    IsActive,
    IsStaff,
    IsSuperuser,
    Permissions,
    CreatedAt,
    LastLoginAt,
    Version,
}
