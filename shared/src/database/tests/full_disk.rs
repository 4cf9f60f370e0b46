//! Tests of a full disk on SQLite, where SQLite rolls back the whole transaction with all savepoints.
//! `PRAGMA max_page_count` fills the disk for one connection, the one that writes.

use sea_orm::{ConnectionTrait as _, DbErr};
use tempfile::TempDir;

use crate::database::{
    Database, begin,
    tests::test_table::{open, waiting, write, written},
};

/// Needs more space than SQLite has free in the file.
const TOO_MUCH: &str = "INSERT INTO written VALUES (-1, zeroblob(1000000))";

async fn limit_pages(db: &Database, pages: u32) {
    let transaction = begin(db).await.unwrap();
    let limit = format!("PRAGMA max_page_count = {pages}");
    transaction.execute_unprepared(&limit).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn write_alone(db: &Database, number: i32) -> Result<(), DbErr> {
    let transaction = begin(db).await?;
    write(&transaction, number).await?;
    transaction.commit().await
}

/// Returns the numbers that another program reads.
async fn stored(folder: &TempDir) -> Vec<i32> {
    written(&open(folder).await).await
}

/// R1
#[tokio::test]
async fn writes_after_a_full_disk_are_stored() {
    let folder = TempDir::new().unwrap();
    let db = open(&folder).await;
    for _ in 0..2 {
        limit_pages(&db, 1).await;
        let transaction = begin(&db).await.unwrap();
        let error = transaction.execute_unprepared(TOO_MUCH).await.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
    }
    // If the transaction continued as a savepoint, its end would leave the outer one open.
    drop(begin(&db).await.unwrap());
    limit_pages(&db, 1_000_000).await;

    write_alone(&db, 1).await.unwrap();
    assert_eq!(stored(&folder).await, [1]);
}

/// R1
#[tokio::test]
async fn full_disk_fails_every_member_of_the_commit() {
    let folder = TempDir::new().unwrap();
    let db = open(&folder).await;
    limit_pages(&db, 1).await;
    let first = begin(&db).await.unwrap();
    write(&first, 1).await.unwrap();
    let (second, third) = (waiting(&db).await, waiting(&db).await);
    let first = tokio::spawn(first.commit());
    let second = second.await.unwrap();
    write(&second, 2).await.unwrap();
    let second = tokio::spawn(second.commit());
    let third = third.await.unwrap();
    third.execute_unprepared(TOO_MUCH).await.unwrap_err();
    drop(third);

    for commit in [first, second] {
        let error = commit.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
    }
    write_alone(&db, 4).await.unwrap();
    assert_eq!(stored(&folder).await, [4]);
}

/// R1
#[tokio::test]
async fn transaction_after_a_full_disk_takes_no_statement() {
    let folder = TempDir::new().unwrap();
    let db = open(&folder).await;
    limit_pages(&db, 1).await;
    let first = begin(&db).await.unwrap();
    write(&first, 1).await.unwrap();
    let second = waiting(&db).await;
    let first = tokio::spawn(first.commit());
    let second = second.await.unwrap();
    second.execute_unprepared(TOO_MUCH).await.unwrap_err();

    // SQLite is not in a transaction any more: this statement would be committed alone.
    write(&second, 2).await.unwrap_err();
    second.commit().await.unwrap_err();
    first.await.unwrap().unwrap_err();
    assert!(stored(&folder).await.is_empty());
}

/// Other rollbacks by SQLite, here by a trigger, are detected when the connection is used next.
#[tokio::test]
async fn writes_after_a_rollback_by_a_trigger_are_stored() {
    let folder = TempDir::new().unwrap();
    let db = open(&folder).await;
    let trigger = "CREATE TRIGGER refused BEFORE INSERT ON written WHEN new.n = 13 \
                   BEGIN SELECT RAISE(ROLLBACK, 'refused'); END";
    db.execute_unprepared(trigger).await.unwrap();
    write_alone(&db, 13).await.unwrap_err();
    drop(begin(&db).await.unwrap());

    write_alone(&db, 1).await.unwrap();
    assert_eq!(stored(&folder).await, [1]);
}
