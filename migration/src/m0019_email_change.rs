//! Changes of emails that the owner has not confirmed yet.

use sea_orm_migration::{
    prelude::*,
    schema::{string_len_null, timestamp_with_time_zone_null},
};

use crate::{create_indexes, m0001_users::Users};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column per statement.
        for column in [
            string_len_null("confirmed_email", 254),
            string_len_null("confirmed_email_key", 254),
            timestamp_with_time_zone_null("confirmed_email_since"),
            timestamp_with_time_zone_null("email_trusted_from"),
        ] {
            let table = Table::alter()
                .table(Users::Table)
                .add_column(column)
                .to_owned();
            manager.alter_table(table).await?;
        }
        for column in ["new_email", "recipient_key"] {
            let table = Table::alter()
                .table("password_resets")
                .add_column(string_len_null(column, 254))
                .to_owned();
            manager.alter_table(table).await?;
        }
        let index = (
            "idx_users_confirmed_email_key",
            "users (confirmed_email_key) WHERE confirmed_email_key IS NOT NULL",
        );
        create_indexes(manager, &[index]).await
    }
}
