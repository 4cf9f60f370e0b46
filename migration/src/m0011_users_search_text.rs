//! The folded search text of users, which replaces username, email and phone number in the search index.

use sea_orm_migration::{prelude::*, schema::text, sea_orm::DbBackend};

use crate::m0001_users::Users;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// See `m0006_users_search` for the extension.
const POSTGRES: &str = "DO $$ BEGIN
    DROP INDEX IF EXISTS idx_users_search;
    CREATE INDEX idx_users_search_text ON users USING gin (search_text gin_trgm_ops);
EXCEPTION WHEN undefined_object THEN
    RAISE WARNING 'the users search has no index: %', SQLERRM;
END $$";

/// The index of trigrams, and one of the first two characters for shorter words. The expression is that of
/// `latchkey_shared::models::user::search`. After a rebuild, the index contains the rows whose texts are empty, so that the update
/// trigger can remove them.
const SQLITE: [&str; 10] = [
    "DROP TRIGGER users_search_insert",
    "DROP TRIGGER users_search_delete",
    "DROP TRIGGER users_search_update",
    "DROP TABLE users_search",
    "CREATE VIRTUAL TABLE users_search USING fts5(search_text, \
     content = 'users', content_rowid = 'id', tokenize = 'trigram')",
    "INSERT INTO users_search (users_search) VALUES ('rebuild')",
    "CREATE TRIGGER users_search_insert AFTER INSERT ON users BEGIN \
     INSERT INTO users_search (rowid, search_text) VALUES (new.id, new.search_text); END",
    "CREATE TRIGGER users_search_delete AFTER DELETE ON users BEGIN \
     INSERT INTO users_search (users_search, rowid, search_text) VALUES ('delete', old.id, old.search_text); END",
    "CREATE TRIGGER users_search_update AFTER UPDATE OF search_text ON users BEGIN \
     INSERT INTO users_search (users_search, rowid, search_text) VALUES ('delete', old.id, old.search_text); \
     INSERT INTO users_search (rowid, search_text) VALUES (new.id, new.search_text); END",
    "CREATE INDEX idx_users_search_prefix ON users (substr(search_text, 1, 2), id)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = Table::alter()
            .table(Users::Table)
            .add_column(text(SearchText).default(""))
            .to_owned();
        manager.alter_table(column).await?;
        let db = manager.get_connection();
        if manager.get_database_backend() == DbBackend::Postgres {
            db.execute_unprepared(POSTGRES).await?;
            return Ok(());
        }
        // On one connection: another one of the pool may still know the dropped table and triggers, and refuse their names.
        db.execute_unprepared(&SQLITE.join(";\n")).await?;
        Ok(())
    }
}

#[derive(DeriveIden)]
struct SearchText;
