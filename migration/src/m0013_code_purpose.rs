//! What a mailed code is for; those from before are for a new password. A step of its own, so that no two tables are held at once:
//! a worker that goes on meanwhile holds both in its own order.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column =
            "ALTER TABLE password_resets ADD COLUMN purpose VARCHAR(16) NOT NULL DEFAULT 'reset'";
        let db = manager.get_connection();
        db.execute_unprepared(column).await.map(|_| ())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = "ALTER TABLE password_resets DROP COLUMN purpose";
        let db = manager.get_connection();
        db.execute_unprepared(column).await.map(|_| ())
    }
}
