//! Checks that the database stores data: a write that needs space, in a table of its own. On PostgreSQL also that the tables of
//! requests and mails can be written.

use sea_orm::{ActiveValue::Set, ConnectionTrait as _, DbBackend, entity::prelude::*};
use uuid::Uuid;

use crate::database::{Database, begin, delete_in_parts};

/// The size of the row that a check inserts, in bytes. It needs eight pages of SQLite, so that the check fails no later than other
/// writes. An update in place would reuse its page and succeed on a full disk.
const FILLER_SIZE: usize = 32 * 1024;

/// Takes 100 ms, so that the check fails if `statement_timeout` is too short for the requests of a busy database. The other
/// statements of the check are faster than those of requests.
const SLOW_STATEMENT: &str = "SELECT pg_sleep(0.1)";

/// Fails if another transaction locks the tables that requests and mails write, or if the role may not write to them. The lock is
/// the one of an UPDATE. The timeout is shorter than that of a health check.
const LOCK_TABLES: &str = "SET LOCAL lock_timeout = '1500ms'; \
    LOCK TABLE users, sessions, password_resets, mails, audit_events IN ROW EXCLUSIVE MODE";

/// Queries that fail if a table that every request reads is damaged. No index has this column, so they read the table.
const READ_TABLES: [&str; 2] = [
    "SELECT ctid FROM users LIMIT 1",
    "SELECT ctid FROM sessions LIMIT 1",
];

/// The row of one check.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "write_checks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    id: Uuid,
    filler: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Database {
    /// Writes some pages and commits, like every other write. Costs a commit, so callers cache the result for some seconds.
    pub async fn check_write(&self) -> Result<(), DbErr> {
        let id = Uuid::now_v7();
        let row = ActiveModel {
            id: Set(id),
            filler: Set(vec![0; FILLER_SIZE]),
        };
        let transaction = begin(self).await?;
        if self.get_database_backend() == DbBackend::Postgres {
            // First, as it needs no lock.
            transaction.execute_unprepared(SLOW_STATEMENT).await?;
            transaction.execute_unprepared(LOCK_TABLES).await?;
            for statement in READ_TABLES {
                transaction.execute_unprepared(statement).await?;
            }
        }
        Entity::insert(row)
            .exec_without_returning(&transaction)
            .await?;
        // After the insert, so that the new row cannot use the space of the old one.
        let older = Entity::find().filter(Column::Id.lt(id));
        delete_in_parts(&transaction, older, Column::Id).await?;
        transaction.commit().await
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait as _;
    use tempfile::TempDir;

    use super::*;
    use crate::database::{Outage, create};

    async fn open(folder: &TempDir) -> Database {
        let url = format!("sqlite://{}/test.db", folder.path().display());
        let db = create(&url).await.unwrap();
        let table = "CREATE TABLE IF NOT EXISTS write_checks (id uuid_text NOT NULL PRIMARY KEY, filler blob NOT NULL)";
        db.execute_unprepared(table).await.unwrap();
        db
    }

    #[tokio::test]
    async fn check_write_keeps_one_row() {
        let folder = TempDir::new().unwrap();
        let db = open(&folder).await;
        for _ in 0..3 {
            db.check_write().await.unwrap();
        }
        assert_eq!(Entity::find().all(&db).await.unwrap().len(), 1);
    }

    /// R1: SQLite itself accepts writes into a file that was moved away. They are lost to the next start.
    #[tokio::test]
    async fn writes_fail_if_the_file_was_moved() {
        let folder = TempDir::new().unwrap();
        let db = open(&folder).await;
        let (path, moved) = (folder.path().join("test.db"), folder.path().join("moved"));
        for replace in [false, true] {
            std::fs::rename(&path, &moved).unwrap();
            if replace {
                std::fs::write(&path, "").unwrap();
            }
            let error = db.check_write().await.unwrap_err();
            assert_eq!(Outage::of(&error), Some(Outage::Moved));
            std::fs::rename(&moved, &path).unwrap();
            let transaction = begin(&db).await.unwrap();
            std::fs::rename(&path, &moved).unwrap();
            let error = transaction.commit().await.unwrap_err();
            assert_eq!(Outage::of(&error), Some(Outage::Moved));
            std::fs::rename(&moved, &path).unwrap();
            db.check_write().await.unwrap();
        }
    }

    #[tokio::test]
    async fn check_write_fails_on_a_full_disk() {
        let folder = TempDir::new().unwrap();
        let db = open(&folder).await;
        let transaction = begin(&db).await.unwrap();
        let full = "PRAGMA max_page_count = 1";
        transaction.execute_unprepared(full).await.unwrap();
        transaction.commit().await.unwrap();
        let error = db.check_write().await.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
    }
}
