//! Grants the permission to export users to all who may view them, which included it before.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The new version makes forms that were opened before the step conflict with it.
const GRANT: &str = "UPDATE users SET permissions = permissions || ',export_users', version = version + 1 \
                     WHERE permissions LIKE '%view_users%'";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(GRANT).await?;
        Ok(())
    }
}
