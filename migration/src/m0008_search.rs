//! Searching users by parts of words: an index of all runs of three characters in name, address and number.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The expression is the one of `latchkey_shared::models::user::search`. The extension is a trusted one, which whoever may create
/// in the database may create; where it is not to be had, searching works without its index, by reading all rows.
const POSTGRES: &str = "DO $$ BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX idx_users_search ON users USING gin ((
        username || ' ' || lower(username) || ' ' || email_key || ' ' || coalesce(phone_number, '')
    ) gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR undefined_object THEN
    RAISE WARNING 'searching users has no index: %', SQLERRM;
END $$";

/// The words stay in `users`; the index alone is here, kept by triggers.
const SQLITE: [&str; 5] = [
    "CREATE VIRTUAL TABLE users_search USING fts5(username, email_key, phone_number, \
     content = 'users', content_rowid = 'id', tokenize = 'trigram')",
    "INSERT INTO users_search (users_search) VALUES ('rebuild')",
    "CREATE TRIGGER users_search_insert AFTER INSERT ON users BEGIN \
     INSERT INTO users_search (rowid, username, email_key, phone_number) \
     VALUES (new.id, new.username, new.email_key, new.phone_number); END",
    "CREATE TRIGGER users_search_delete AFTER DELETE ON users BEGIN \
     INSERT INTO users_search (users_search, rowid, username, email_key, phone_number) \
     VALUES ('delete', old.id, old.username, old.email_key, old.phone_number); END",
    "CREATE TRIGGER users_search_update AFTER UPDATE OF username, email_key, phone_number ON users BEGIN \
     INSERT INTO users_search (users_search, rowid, username, email_key, phone_number) \
     VALUES ('delete', old.id, old.username, old.email_key, old.phone_number); \
     INSERT INTO users_search (rowid, username, email_key, phone_number) \
     VALUES (new.id, new.username, new.email_key, new.phone_number); END",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        if manager.get_database_backend() == DbBackend::Postgres {
            db.execute_unprepared(POSTGRES).await?;
            return Ok(());
        }
        for statement in SQLITE {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let statements: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &["DROP INDEX IF EXISTS idx_users_search"],
            _ => &[
                "DROP TRIGGER users_search_update",
                "DROP TRIGGER users_search_delete",
                "DROP TRIGGER users_search_insert",
                "DROP TABLE users_search",
            ],
        };
        for statement in statements {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
