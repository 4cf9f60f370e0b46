//! What the budget of a mailbox counts: the client network that caused a mail, and whether an operator sends it all the same.

use sea_orm_migration::{
    prelude::*,
    schema::{boolean, string_len_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column at a time. A program of the version before leaves them at their defaults.
        for mut column in [
            string_len_null(Mails::ClientNetwork, 64),
            boolean(Mails::BeyondBudget).default(false).to_owned(),
        ] {
            let change = Table::alter()
                .table(Mails::Table)
                .add_column(&mut column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [Mails::ClientNetwork, Mails::BeyondBudget] {
            let change = Table::alter()
                .table(Mails::Table)
                .drop_column(column)
                .to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Mails {
    Table,
    ClientNetwork,
    BeyondBudget,
}
