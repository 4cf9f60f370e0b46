//! Which accounts their owners may let in; those from before wait for administrators.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = "ALTER TABLE users ADD COLUMN awaits_owner BOOLEAN NOT NULL DEFAULT FALSE";
        let db = manager.get_connection();
        db.execute_unprepared(column).await.map(|_| ())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = "ALTER TABLE users DROP COLUMN awaits_owner";
        let db = manager.get_connection();
        db.execute_unprepared(column).await.map(|_| ())
    }
}
