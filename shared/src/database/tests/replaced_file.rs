//! R1: tests of a database file that is replaced by another one for a while, and put back.

use std::fs;

use sea_orm::{ConnectionTrait as _, DbErr, Statement};
use tempfile::TempDir;
use tokio::{task::yield_now, time};

use crate::database::{
    Database, Outage, begin, begin_snapshot,
    error::file_locked,
    tests::test_table::{open, open_at, write, written},
};

const COUNT: &str = "SELECT count(*) FROM written";

/// Two databases: one with a row, and an empty one that takes its place.
struct Folders {
    root: TempDir,
    db: Database,
}

impl Folders {
    async fn new() -> Self {
        let root = TempDir::new().unwrap();
        let (current, other) = (root.path().join("current"), root.path().join("other"));
        let other_db = open_at(&other).await;
        let db = open_at(&current).await;
        let transaction = begin(&db).await.unwrap();
        write(&transaction, 1).await.unwrap();
        transaction.commit().await.unwrap();
        drop(other_db);
        Self { root, db }
    }

    /// Exchanges the folders of the two databases.
    fn swap(&self) {
        let path = |name| self.root.path().join(name);
        fs::rename(path("current"), path("moved")).unwrap();
        fs::rename(path("other"), path("current")).unwrap();
        fs::rename(path("moved"), path("other")).unwrap();
    }

    async fn count(&self) -> Result<i64, DbErr> {
        let count = Statement::from_string(self.db.get_database_backend(), COUNT);
        let row = self.db.query_one_raw(count).await?;
        row.unwrap().try_get_by(0)
    }

    /// Lets the pool replace all connections, as after another program locked the file.
    fn replace_connections(&self) {
        self.db.stale.observe(&file_locked());
    }

    /// Returns what each connection of the pool reads.
    async fn count_on_all_connections(&self) -> Vec<i64> {
        let mut snapshots = Vec::new();
        for _ in 0..4 {
            snapshots.push(begin_snapshot(&self.db).await.unwrap());
        }
        let mut counts = Vec::new();
        for snapshot in &snapshots {
            let count = Statement::from_string(self.db.get_database_backend(), COUNT);
            let row = snapshot.query_one_raw(count).await.unwrap().unwrap();
            counts.push(row.try_get_by(0).unwrap());
        }
        counts
    }
}

#[tokio::test]
async fn readers_never_open_a_file_that_replaced_the_database() {
    let folders = Folders::new().await;
    assert_eq!(folders.count_on_all_connections().await, [1; 4]);
    folders.swap();
    folders.replace_connections();
    for _ in 0..4 {
        let read = folders.count().await.unwrap_err();
        assert_eq!(Outage::of(&read), Some(Outage::Moved), "{read}");
        let snapshot = begin_snapshot(&folders.db).await.unwrap_err();
        assert_eq!(Outage::of(&snapshot), Some(Outage::Moved), "{snapshot}");
    }

    folders.swap();

    assert_eq!(folders.count_on_all_connections().await, [1; 4]);
}

/// The file may be replaced after the check before a call, and put back before the check after it.
#[tokio::test]
async fn pool_keeps_no_connection_to_another_file() {
    let folders = Folders::new().await;
    folders.swap();
    folders.replace_connections();
    let pool = folders.db.pool.clone();
    let read = tokio::spawn(async move { pool.execute_unprepared(COUNT).await });
    for _ in 0..20 {
        yield_now().await;
        time::sleep(time::Duration::from_millis(2)).await;
    }

    folders.swap();

    read.await.unwrap().unwrap();
    assert_eq!(folders.count_on_all_connections().await, [1; 4]);
}

/// An empty file in place of the database is another file, and no damage to this one.
#[tokio::test]
async fn empty_file_that_replaced_the_database_is_not_opened() {
    let folder = TempDir::new().unwrap();
    let db = open(&folder).await;
    let (path, moved) = (folder.path().join("test.db"), folder.path().join("moved"));
    fs::rename(&path, &moved).unwrap();
    fs::write(&path, "").unwrap();

    let read = db.execute_unprepared(COUNT).await.unwrap_err();

    assert_eq!(Outage::of(&read), Some(Outage::Moved), "{read}");
    fs::rename(&moved, &path).unwrap();
    assert!(written(&db).await.is_empty());
}
