//! Checks that the database stores data: a write that needs space, in a table of its own.

use sea_orm::{ActiveValue::Set, entity::prelude::*};
use uuid::Uuid;

use crate::database::{Database, begin, delete_in_parts};

/// The size of the row that a check inserts, in bytes. It needs eight pages of SQLite, so that the check fails no later than other
/// writes. An update in place would reuse its page and succeed on a full disk.
const FILLER_SIZE: usize = 32 * 1024;

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
    use crate::database::create;

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
