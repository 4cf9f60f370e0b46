//! R1: tests of a `-wal` or `-shm` file that is deleted or replaced while the database is open.

use std::{fs, path::PathBuf, process::Command};

use sea_orm::{ConnectionTrait as _, DbErr, Statement};
use tempfile::TempDir;

use crate::database::{
    Database, Outage, begin,
    tests::test_table::{open, write, written},
};

/// The files of the log.
const LOG: [&str; 2] = ["-wal", "-shm"];

fn path(folder: &TempDir, suffix: &str) -> PathBuf {
    folder.path().join(format!("test.db{suffix}"))
}

async fn write_alone(db: &Database, number: i32) -> Result<(), DbErr> {
    let transaction = begin(db).await?;
    write(&transaction, number).await?;
    transaction.commit().await
}

/// Returns the numbers that the next start would find if the program ended now. Another process copies the files, as SQLite's
/// locks would end if this one closed the file.
async fn stored(folder: &TempDir) -> Vec<i32> {
    let copy = TempDir::new().unwrap();
    for suffix in ["", "-wal"] {
        let files = [path(folder, suffix), path(&copy, suffix)];
        Command::new("cp").args(files).status().unwrap();
    }
    written(&open(&copy).await).await
}

#[tokio::test]
async fn writes_before_and_after_a_lost_log_are_stored() {
    for replaced in [false, true] {
        for lost in [&LOG[..1], &LOG[1..], &LOG[..]] {
            let folder = TempDir::new().unwrap();
            let db = open(&folder).await;
            write_alone(&db, 1).await.unwrap();
            for suffix in lost {
                fs::remove_file(path(&folder, suffix)).unwrap();
                if replaced {
                    fs::write(path(&folder, suffix), "").unwrap();
                }
            }

            write_alone(&db, 2).await.unwrap();

            assert_eq!(written(&db).await, [1, 2], "{lost:?}");
            assert_eq!(stored(&folder).await, [1, 2], "{lost:?}");
        }
    }
}

#[tokio::test]
async fn log_lost_within_a_transaction_fails_its_commit() {
    for lost in LOG {
        let folder = TempDir::new().unwrap();
        let db = open(&folder).await;
        write_alone(&db, 1).await.unwrap();
        let transaction = begin(&db).await.unwrap();
        write(&transaction, 2).await.unwrap();
        fs::remove_file(path(&folder, lost)).unwrap();

        let error = transaction.commit().await.unwrap_err();

        assert_eq!(Outage::of(&error), Some(Outage::LogLost), "{lost}");
        write_alone(&db, 3).await.unwrap();
        assert_eq!(stored(&folder).await, [1, 3], "{lost}");
    }
}

/// Another connection keeps the old index in this process. The files stay lost, so reads and writes are refused.
#[tokio::test]
async fn lost_index_in_use_refuses_reads_and_writes() {
    let folder = TempDir::new().unwrap();
    let db = open(&folder).await;
    let file = path(&folder, "").display().to_string();
    let options = sea_orm::sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let other = sea_orm::sqlx::SqlitePool::connect_with(options)
        .await
        .unwrap();
    let count = "SELECT count(*) FROM written";
    sea_orm::sqlx::raw_sql(count).execute(&other).await.unwrap();
    write_alone(&db, 1).await.unwrap();
    fs::remove_file(path(&folder, "-shm")).unwrap();

    let refused = write_alone(&db, 2).await.unwrap_err();
    assert_eq!(Outage::of(&refused), Some(Outage::LogLost));
    let query = Statement::from_string(db.get_database_backend(), "SELECT n FROM written");
    let refused = db.query_all_raw(query).await.unwrap_err();
    assert_eq!(Outage::of(&refused), Some(Outage::LogLost));

    other.close().await;
    write_alone(&db, 3).await.unwrap();
    assert_eq!(stored(&folder).await, [1, 3]);
}
