//! The SQL database: SQLite by default, PostgreSQL by URL; the same code runs on both.

use std::{path::Path, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbErr,
    EntityTrait, Select, SqliteTransactionMode, TransactionOptions, TransactionTrait as _,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The folder of the SQLite file could not be made.
    #[error("the folder of the SQLite file could not be made: {0}")]
    Folder(#[from] std::io::Error),
    /// It could not be opened or reached.
    #[error(transparent)]
    Connect(#[from] DbErr),
}

/// A connection that was used within this time is taken to be alive; others are asked first, which is a round trip.
const RESTED: Duration = Duration::from_secs(1);

/// Opens the pool.
///
/// SQLite runs with a write-ahead log and `synchronous = FULL`: a commit is on the disk before anybody is told of it,
/// power cuts included, as it is on PostgreSQL.
///
/// # Errors
/// When the database cannot be opened or reached.
pub async fn connect(url: &str) -> Result<DatabaseConnection, DatabaseError> {
    let mut options = ConnectOptions::new(url);
    options
        .acquire_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(5))
        .sqlx_logging(false);
    if let Some(path) = sqlite_path(url) {
        if let Some(folder) = Path::new(path).parent() {
            std::fs::create_dir_all(folder)?;
        }
        // A file does not hang up.
        options.test_before_acquire(false);
        options.max_connections(8).map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10))
                .foreign_keys(true)
        });
    } else {
        options
            .max_connections(20)
            .test_before_acquire_if_idle_for(RESTED);
    }
    Ok(Database::connect(options).await?)
}

/// Begins a transaction that writes. SQLite gives its turn at the beginning: whoever has read before it first writes is
/// refused at once when somebody else has written meanwhile, and nothing says that no trigger reads.
///
/// # Errors
/// When the database fails, or the turn does not come within its time-out.
pub async fn begin(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    db.begin_with_options(options).await
}

/// The row that a unique key finds. Not by `one`, which says `LIMIT ?`: since 3.49 SQLite plans by the number that is bound
/// there, and so prepares the statement anew each time, which took a quarter of a request's processor time.
///
/// # Errors
/// When the database fails.
pub async fn only<E: EntityTrait>(
    found: Select<E>,
    db: &impl ConnectionTrait,
) -> Result<Option<E::Model>, DbErr> {
    Ok(found.all(db).await?.into_iter().next())
}

/// The file of a SQLite URL.
fn sqlite_path(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Some(path.split('?').next().unwrap_or(path))
}
