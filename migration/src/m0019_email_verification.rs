//! When the owner of an account last proved its address, when that address took the place of another one, and whether the
//! recipient of a mail was proved when the mail was caused. Nothing proves the addresses of accounts that are there already.

use sea_orm_migration::{
    prelude::*,
    schema::{boolean, timestamp_with_time_zone_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column at a time.
        for column in [Users::EmailVerifiedAt, Users::EmailSetAt] {
            let change = Table::alter()
                .table(Users::Table)
                .add_column(timestamp_with_time_zone_null(column))
                .to_owned();
            manager.alter_table(change).await?;
        }
        // A program of the version before leaves it at its default.
        let change = Table::alter()
            .table(Mails::Table)
            .add_column(boolean(Mails::RecipientVerified).default(false))
            .to_owned();
        manager.alter_table(change).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let change = Table::alter()
            .table(Mails::Table)
            .drop_column(Mails::RecipientVerified)
            .to_owned();
        manager.alter_table(change).await?;
        for column in [Users::EmailVerifiedAt, Users::EmailSetAt] {
            let change = Table::alter()
                .table(Users::Table)
                .drop_column(column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Users {
    Table,
    EmailVerifiedAt,
    EmailSetAt,
}

#[derive(DeriveIden)]
enum Mails {
    Table,
    RecipientVerified,
}
