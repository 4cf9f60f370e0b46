//! A SQLite database with the table `written`, for the tests of group commits.

use std::path::Path;

use sea_orm::{ConnectionTrait as _, DbErr, Statement};
use tempfile::TempDir;
use tokio::task::{JoinHandle, yield_now};

use crate::database::{Database, Transaction, begin, create};

/// Opens the database in a folder, and creates the table if it does not exist.
pub(in crate::database) async fn open(folder: &TempDir) -> Database {
    open_at(folder.path()).await
}

/// Opens a database like [`open`]. Creates the folder if it does not exist.
pub(in crate::database) async fn open_at(folder: &Path) -> Database {
    let url = format!("sqlite://{}/test.db", folder.display());
    let db = create(&url).await.unwrap();
    let table = "CREATE TABLE IF NOT EXISTS written (n INTEGER, filler BLOB)";
    db.execute_unprepared(table).await.unwrap();
    db
}

/// Inserts a number.
pub(in crate::database) async fn write(
    transaction: &Transaction,
    number: i32,
) -> Result<(), DbErr> {
    let sql = format!("INSERT INTO written (n) VALUES ({number})");
    transaction.execute_unprepared(&sql).await.map(drop)
}

/// Returns the committed numbers.
pub(in crate::database) async fn written(db: &Database) -> Vec<i32> {
    let query = "SELECT n FROM written ORDER BY n";
    let query = Statement::from_string(db.get_database_backend(), query);
    let rows = db.query_all_raw(query).await.unwrap();
    let number = |row: &sea_orm::QueryResult| row.try_get_by(0).unwrap();
    rows.iter().map(number).collect()
}

/// Starts a caller that waits for a write permit.
pub(in crate::database) async fn waiting(db: &Database) -> JoinHandle<Transaction> {
    let db = db.clone();
    let waiting = tokio::spawn(async move { begin(&db).await.unwrap() });
    yield_now().await;
    waiting
}
