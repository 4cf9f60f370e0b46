//! When the tokens that the original issued to an imported account have ended.

use sea_orm_migration::{prelude::*, schema::timestamp_with_time_zone_null};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table("imported_users")
            .add_column(timestamp_with_time_zone_null("tokens_ended_at"))
            .to_owned();
        manager.alter_table(table).await
    }
}
