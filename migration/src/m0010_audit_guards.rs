//! The audit log can be neither emptied at a stroke (PostgreSQL's TRUNCATE, which fires no trigger of rows) nor written
//! over (SQLite's REPLACE, which fires none of deletions).

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let guard = match manager.get_database_backend() {
            DbBackend::Postgres => {
                "CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events \
                 FOR EACH STATEMENT EXECUTE FUNCTION audit_events_are_append_only()"
            }
            _ => {
                "CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events \
                 WHEN EXISTS (SELECT 1 FROM audit_events WHERE seq = new.seq) \
                 BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END"
            }
        };
        manager.get_connection().execute_unprepared(guard).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let guard = match manager.get_database_backend() {
            DbBackend::Postgres => "DROP TRIGGER audit_events_no_truncate ON audit_events",
            _ => "DROP TRIGGER audit_events_no_replace",
        };
        manager.get_connection().execute_unprepared(guard).await?;
        Ok(())
    }
}
