//! The SQL database: SQLite by default, PostgreSQL by URL. The same code runs on both.

use std::{ops::Deref, path::Path, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, ExecResult,
    QueryResult, QuerySelect as _, QueryTrait as _, Select, Statement,
    sea_query::{LockBehavior, LockType, SelectStatement},
};
use tokio::sync::OwnedSemaphorePermit;

mod error;
mod parts;
mod permits;
mod pgbouncer;
mod postgres_timeouts;
mod row_reader;
mod sqlite;
mod sqlite_files;
mod sqlite_group_commit;
mod sqlite_log_recovery;
mod stale_connections;
#[cfg(test)]
mod tests;
mod transaction;
mod write_check;

pub(crate) use crate::database::error::violates_unique;
pub use crate::database::error::{Outage, describe};
use crate::database::error::{file_empty, file_locked};
pub use crate::database::parts::{delete_in_parts, update_in_parts};
use crate::database::permits::{CONNECT_TIMEOUT, ConnectionPermits};
pub(crate) use crate::database::row_reader::RowReader;
use crate::database::sqlite_files::SqliteFiles;
use crate::database::sqlite_group_commit::WriteQueue;
use crate::database::stale_connections::StaleConnections;
pub use crate::database::transaction::{Transaction, begin_snapshot};

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The SQLite file or its folder could not be created.
    #[error("the SQLite file or its folder could not be created: {0}")]
    Folder(#[from] std::io::Error),
    /// The SQLite file does not exist.
    #[error(
        "the SQLite file {0} does not exist. Restore it, or run `latchkey-api migrate` to create it"
    )]
    MissingFile(String),
    /// The SQLite file is damaged.
    #[error(
        "the SQLite file {0} is damaged, or is no SQLite database: {1}. Restore it from a backup"
    )]
    DamagedFile(String, DbErr),
    /// The database could not be opened or reached, or fails at the start.
    #[error("{}", describe(.0))]
    Connect(#[from] DbErr),
    /// PgBouncer refuses a startup parameter.
    #[error(
        "PgBouncer refuses the startup parameter {0}. Add `ignore_startup_parameters = {0}` to pgbouncer.ini, or remove \
         {0} from DATABASE_URL"
    )]
    StartupParameter(String),
    /// PgBouncer shares the connection with other clients.
    #[error(
        "PgBouncer gives each statement or transaction another connection (pool_mode = transaction or statement), on which \
         prepared statements and session settings do not work. Set `pool_mode = session` for this database in pgbouncer.ini"
    )]
    TransactionPooling,
}

impl DatabaseError {
    fn of_file(path: &str, error: DbErr) -> Self {
        match Outage::of(&error) {
            Some(Outage::Damaged) => Self::DamagedFile(path.to_owned(), error),
            _ => error.into(),
        }
    }

    /// Returns whether the database cannot be reached.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connect(error) if is_gone(error))
    }
}

/// A pool of connections, with the write queue on SQLite. Clones share both.
#[derive(Clone, Debug)]
pub struct Database {
    pool: DatabaseConnection,
    permits: ConnectionPermits,
    stale: StaleConnections,
    writer: Option<Writer>,
}

/// The only connection that writes to SQLite. A single one keeps its cached pages valid: each write invalidates the caches of the
/// other connections.
#[derive(Clone, Debug)]
struct Writer {
    connection: DatabaseConnection,
    queue: WriteQueue,
    /// `None` for a database in memory.
    files: Option<SqliteFiles>,
}

/// Opens a database.
///
/// SQLite uses a write-ahead log and `synchronous = FULL`: like on PostgreSQL, a commit returns once it is on the disk and
/// survives a power failure.
pub async fn connect(url: &str) -> Result<Database, DatabaseError> {
    if let Some(path) = sqlite::path_in(url) {
        if !sqlite::is_in_memory(url) && !Path::new(path).exists() {
            return Err(DatabaseError::MissingFile(path.to_owned()));
        }
        if sqlite_files::is_truncated(Path::new(path)) {
            return Err(DatabaseError::of_file(path, file_empty()));
        }
        let connected = sqlite::connect(url, path).await;
        return connected.map_err(|error| DatabaseError::of_file(path, error));
    }
    let stale = StaleConnections::of_postgres();
    let mut options = options(url, CONNECT_TIMEOUT);
    let pool_stale = stale.clone();
    options
        .max_connections(20)
        // Nothing here needs this parameter, and PgBouncer refuses it.
        .map_sqlx_postgres_opts(|options| options.extra_float_digits(None))
        .map_sqlx_postgres_pool_opts(move |pool| {
            postgres_timeouts::with_liveness_checks(pool, &pool_stale)
        });
    let db = match Database::open(options, stale).await {
        Ok(db) => db,
        Err(error) => return Err(pgbouncer::start_error(url, error).await),
    };
    pgbouncer::check_pool_mode(&db.pool).await?;
    Ok(db)
}

/// Opens the database like [`connect`]. Creates the SQLite file and its folder if they do not exist.
pub async fn create(url: &str) -> Result<Database, DatabaseError> {
    if let Some(path) = sqlite::path_in(url) {
        if let Some(folder) = Path::new(path).parent() {
            std::fs::create_dir_all(folder)?;
        }
        sqlite::create_private(url)?;
    }
    connect(url).await
}

async fn open(options: ConnectOptions) -> Result<DatabaseConnection, DbErr> {
    sea_orm::Database::connect(options).await
}

fn options(url: &str, acquire_timeout: Duration) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.acquire_timeout(acquire_timeout).sqlx_logging(false);
    options
}

/// Begins a transaction that writes. On SQLite it waits for its write permit, at most 10 seconds.
pub async fn begin(db: &Database) -> Result<Transaction, DbErr> {
    match &db.writer {
        Some(writer) => writer.queue.acquire(&writer.connection).await,
        None => Transaction::begin(db).await,
    }
}

/// Returns whether the database is unreachable or became so during a call.
#[must_use]
pub fn is_gone(error: &DbErr) -> bool {
    matches!(
        Outage::of(error),
        Some(Outage::Unreachable | Outage::Restarting)
    )
}

/// Returns the row with a unique key. Selects all rows and not `one`, which adds `LIMIT ?`: since 3.49, SQLite prepares such a
/// statement anew for each bound limit, which took a quarter of a request's CPU time.
pub async fn find_unique<E: EntityTrait>(
    found: Select<E>,
    db: &impl ConnectionTrait,
) -> Result<Option<E::Model>, DbErr> {
    Ok(found.all(db).await?.into_iter().next())
}

/// Repeats the last key until the number of keys is a power of two. This limits the number of different statements, so that they
/// stay prepared.
pub fn pad_to_power_of_two<K: Clone>(keys: &[K]) -> impl Iterator<Item = K> {
    let more = keys.len().next_power_of_two() - keys.len();
    let last = keys.last().cloned();
    keys.iter()
        .cloned()
        .chain(last.into_iter().cycle().take(more))
}

/// Splits rows into parts whose sizes are powers of two, for the same reason. An INSERT cannot repeat a row.
pub fn parts<R>(mut rows: Vec<R>) -> impl Iterator<Item = Vec<R>> {
    std::iter::from_fn(move || {
        let size = 1 << rows.len().checked_ilog2()?;
        let rest = rows.split_off(size);
        Some(std::mem::replace(&mut rows, rest))
    })
}

/// Locks the selected rows until the transaction ends.
///
/// On PostgreSQL, `FOR NO KEY UPDATE` still lets other transactions write rows that refer to them. A stronger lock would deadlock
/// with a worker that binds several requests to one account while another transaction ends these requests. A changed key or a
/// deleted row takes the stronger lock anyway, so the rows that refer to it have to be deleted first. SQLite needs no locks: it
/// has a single writer.
pub fn lock_no_key_update<E: EntityTrait>(
    found: Select<E>,
    db: &impl ConnectionTrait,
) -> Select<E> {
    if db.get_database_backend() == DbBackend::Postgres {
        found.lock(LockType::NoKeyUpdate)
    } else {
        found
    }
}

/// Skips rows that other transactions have locked. On PostgreSQL, two statements that change several rows each could otherwise
/// deadlock.
pub fn skip_locked<E: EntityTrait>(
    mut found: Select<E>,
    db: &impl ConnectionTrait,
) -> SelectStatement {
    if db.get_database_backend() == DbBackend::Postgres {
        found = found.lock_with_behavior(LockType::NoKeyUpdate, LockBehavior::SkipLocked);
    }
    found.into_query()
}

impl Database {
    async fn open(options: ConnectOptions, stale: StaleConnections) -> Result<Self, DbErr> {
        let connections = options.get_max_connections().unwrap_or(1) as usize;
        Ok(Self {
            pool: open(options).await?,
            permits: ConnectionPermits::new(connections),
            stale,
            writer: None,
        })
    }

    /// Runs a call on a connection of the pool once one is free, and returns its result with the permit. Applies a timeout on
    /// PostgreSQL; a file always responds. Fails if the files of SQLite are not those that the connection has open.
    async fn on_pool<A, F>(
        &self,
        call: impl Fn() -> F + Sync,
    ) -> Result<(A, OwnedSemaphorePermit), DbErr>
    where
        F: Future<Output = Result<A, DbErr>> + Send,
    {
        let call = &call;
        let call = || async move {
            let Some(writer) = &self.writer else {
                return postgres_timeouts::with_timeout(call()).await;
            };
            let files = writer.files.as_ref();
            // Before the call, which may open a connection: to another file, if that is at the path.
            files.map_or(Ok(()), SqliteFiles::check)?;
            let result = call().await;
            // Afterwards, as the files may have been replaced during the call. This is also the reason of the call's own error.
            files.map_or(Ok(()), SqliteFiles::check)?;
            result
        };
        let called = self.permits.call(&self.pool, call).await;
        called.inspect_err(|error| self.stale.observe(error))
    }

    /// Runs a statement on a connection of the pool.
    async fn run<A, F>(&self, call: impl Fn() -> F + Sync) -> Result<A, DbErr>
    where
        F: Future<Output = Result<A, DbErr>> + Send,
    {
        let (result, _permit) = self.on_pool(call).await?;
        Ok(result)
    }

    /// Explains an error at the start of a program: with the path of a damaged SQLite file, and the remedy.
    #[must_use]
    pub fn explain(&self, error: DbErr) -> DatabaseError {
        let files = self.writer.as_ref().and_then(|it| it.files.as_ref());
        match files {
            Some(files) => DatabaseError::of_file(&files.path().to_string_lossy(), error),
            None => error.into(),
        }
    }

    /// Returns why a call waits for a connection or a lock, if the reason is known: PostgreSQL refuses connections, or another
    /// program has locked the SQLite file.
    pub(crate) fn wait_reason(&self) -> Option<DbErr> {
        match self.writer {
            Some(_) => Some(file_locked()),
            None => self.permits.last_refusal(),
        }
    }

    /// Begins a transaction for a single statement that needs the write queue.
    async fn begin_if_write(&self, statement: &Statement) -> Result<Option<Transaction>, DbErr> {
        if self.writer.is_none() || statement.sql.starts_with("SELECT") {
            return Ok(None);
        }
        begin(self).await.map(Some)
    }

    /// Sets a callback for all statements, for tests that count them. Those of transactions are included.
    pub fn set_metric_callback<F>(&mut self, callback: F)
    where
        F: Fn(&sea_orm::metric::Info<'_>) + Clone + Send + Sync + 'static,
    {
        if let Some(writer) = &mut self.writer {
            writer.connection.set_metric_callback(callback.clone());
        }
        self.pool.set_metric_callback(callback);
    }
}

impl Deref for Database {
    type Target = DatabaseConnection;

    fn deref(&self) -> &DatabaseConnection {
        &self.pool
    }
}

/// Reads use the pool. On SQLite, a single statement that writes uses the write queue like any transaction.
#[async_trait::async_trait]
impl ConnectionTrait for Database {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let Some(transaction) = self.begin_if_write(&statement).await? else {
            return self.run(|| self.pool.execute_raw(statement.clone())).await;
        };
        let result = transaction.execute_raw(statement).await?;
        transaction.commit().await?;
        Ok(result)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.run(|| self.pool.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let Some(transaction) = self.begin_if_write(&statement).await? else {
            return self
                .run(|| self.pool.query_one_raw(statement.clone()))
                .await;
        };
        let row = transaction.query_one_raw(statement).await?;
        transaction.commit().await?;
        Ok(row)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Some(transaction) = self.begin_if_write(&statement).await? else {
            return self
                .run(|| self.pool.query_all_raw(statement.clone()))
                .await;
        };
        let rows = transaction.query_all_raw(statement).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}
