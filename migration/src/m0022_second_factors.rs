//! Second factors: TOTP secrets and recovery codes, when an account began to need a second factor, and when a session last verified one.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, blob, string_len_uniq, timestamp_with_time_zone,
        timestamp_with_time_zone_null, uuid,
    },
};

use crate::{create_indexes, m0001_users::Users};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["users", "sessions"] {
            let column = Table::alter()
                .table(table)
                .add_column(timestamp_with_time_zone_null("second_factor_at"))
                .to_owned();
            manager.alter_table(column).await?;
        }
        let totp = Table::create()
            .table(TotpSecrets::Table)
            .col(big_integer(TotpSecrets::UserId).primary_key())
            .col(blob(TotpSecrets::SealedSecret))
            .col(timestamp_with_time_zone(TotpSecrets::CreatedAt))
            .col(timestamp_with_time_zone_null(TotpSecrets::ConfirmedAt))
            .col(big_integer(TotpSecrets::LastStep))
            .foreign_key(&mut owner(TotpSecrets::Table, TotpSecrets::UserId))
            .to_owned();
        manager.create_table(totp).await?;
        let codes = Table::create()
            .table(RecoveryCodes::Table)
            .col(uuid(RecoveryCodes::Id).primary_key())
            .col(string_len_uniq(RecoveryCodes::CodeHash, 64))
            .col(big_integer(RecoveryCodes::UserId))
            .col(timestamp_with_time_zone(RecoveryCodes::CreatedAt))
            .col(timestamp_with_time_zone_null(RecoveryCodes::UsedAt))
            .foreign_key(&mut owner(RecoveryCodes::Table, RecoveryCodes::UserId))
            .to_owned();
        manager.create_table(codes).await?;
        let indexes = [("idx_recovery_codes_user_id", "recovery_codes (user_id)")];
        create_indexes(manager, &indexes).await
    }
}

/// Returns the foreign key of an account, with which its rows are deleted.
fn owner(
    table: impl IntoIden + 'static,
    column: impl IntoIden + 'static,
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(table, column)
        .to(Users::Table, Users::Id)
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}

#[derive(DeriveIden)]
enum TotpSecrets {
    Table,
    UserId,
    SealedSecret,
    CreatedAt,
    ConfirmedAt,
    LastStep,
}

#[derive(DeriveIden)]
enum RecoveryCodes {
    Table,
    Id,
    CodeHash,
    UserId,
    CreatedAt,
    UsedAt,
}
