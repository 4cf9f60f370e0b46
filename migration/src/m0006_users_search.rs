//! The search index of users: trigrams of username, email and phone number.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The expression is that of `latchkey_shared::models::user::search`. `pg_trgm` is a trusted extension: a role with the right to create
/// objects in the database can install it. Without the extension, a search reads all rows.
const POSTGRES: &str = "DO $$ BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX idx_users_search ON users USING gin ((
        username || ' ' || lower(username) || ' ' || email_key || ' ' || coalesce(phone_number, '')
    ) gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR undefined_object THEN
    RAISE WARNING 'the users search has no index: %', SQLERRM;
END $$";

/// An external-content index: the texts stay in `users`, and triggers keep the index up to date.
const SQLITE: [&str; 4] = [
    "CREATE VIRTUAL TABLE users_search USING fts5(username, email_key, phone_number, \
     content = 'users', content_rowid = 'id', tokenize = 'trigram')",
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
}
