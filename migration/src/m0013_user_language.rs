//! The language of an account, in which its owner gets mails.

use sea_orm_migration::{
    prelude::*,
    schema::{boolean, string_len_null},
};

use crate::m0001_users::Users;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column per statement.
        for column in [
            string_len_null(Column::Language, 35),
            boolean(Column::LanguageChosen).default(false).to_owned(),
        ] {
            let table = Table::alter()
                .table(Users::Table)
                .add_column(column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}

#[derive(DeriveIden)]
enum Column {
    Language,
    LanguageChosen,
}
