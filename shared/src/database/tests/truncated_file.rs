//! R1: tests of a database file that another program truncates to 0 bytes while it is open.

use std::fs;

use sea_orm::{ConnectionTrait as _, Statement};
use tempfile::TempDir;

use crate::database::{
    DatabaseError, Outage, begin, connect,
    tests::test_table::{open, write},
};

#[tokio::test]
async fn truncated_file_refuses_calls_as_damaged() {
    for writes_before in [false, true] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("test.db");
        let db = open(&folder).await;
        if writes_before {
            let transaction = begin(&db).await.unwrap();
            write(&transaction, 1).await.unwrap();
            transaction.commit().await.unwrap();
        }
        fs::write(&path, "").unwrap();

        let query = Statement::from_string(db.get_database_backend(), "SELECT n FROM written");
        for _ in 0..3 {
            let write = begin(&db).await.unwrap_err();
            assert_eq!(Outage::of(&write), Some(Outage::Damaged), "{write}");
            let read = db.query_all_raw(query.clone()).await.unwrap_err();
            assert_eq!(Outage::of(&read), Some(Outage::Damaged), "{read}");
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }
}

/// The log may have the only copy of the data. SQLite deletes it when it opens an empty database file.
#[tokio::test]
async fn truncated_file_with_log_is_not_opened() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("test.db");
    let db = open(&folder).await;
    fs::write(&path, "").unwrap();
    let log = folder.path().join("test.db-wal");
    let size = fs::metadata(&log).unwrap().len();

    let error = connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap_err();

    assert!(matches!(error, DatabaseError::DamagedFile(..)), "{error}");
    assert_eq!(fs::metadata(&log).unwrap().len(), size);
    drop(db);
}
