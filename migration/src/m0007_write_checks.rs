//! The table that health checks write to.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let is_postgres = manager.get_database_backend() == DbBackend::Postgres;
        // The types that SeaORM gives a UUID and bytes on either.
        let (id, bytes) = if is_postgres {
            ("uuid", "bytea")
        } else {
            ("uuid_text", "blob")
        };
        let table = format!(
            "CREATE TABLE IF NOT EXISTS write_checks (id {id} NOT NULL PRIMARY KEY, filler {bytes} NOT NULL)"
        );
        db.execute_unprepared(&table).await?;
        if is_postgres {
            // PostgreSQL would compress the filler to nothing, and a check has to need space.
            let external = "ALTER TABLE write_checks ALTER COLUMN filler SET STORAGE EXTERNAL";
            db.execute_unprepared(external).await?;
        }
        Ok(())
    }
}
