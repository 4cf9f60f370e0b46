//! The browser and the system of a request for a one-time code, for its mail.

use sea_orm_migration::{prelude::*, schema::string_len_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let device = Table::alter()
            .table(PasswordResets::Table)
            .add_column(string_len_null(PasswordResets::Device, 100))
            .to_owned();
        manager.alter_table(device).await
    }
}

#[derive(DeriveIden)]
enum PasswordResets {
    Table,
    Device,
}
