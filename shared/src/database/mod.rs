//! The SQL database: SQLite by default, PostgreSQL by URL; the same code runs on both.

use std::{
    ops::Deref, os::unix::fs::OpenOptionsExt as _, path::Path, str::FromStr as _, time::Duration,
};

use sea_orm::{
    ColumnTrait as _, ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr,
    EntityTrait, ExecResult, QueryFilter as _, QueryResult, QuerySelect as _, QueryTrait as _,
    Select, Statement,
    sea_query::{LockBehavior, LockType, SelectStatement},
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

mod error;
#[cfg(test)]
mod full_disk;
mod permits;
mod pgbouncer;
mod postgres_timeouts;
mod row_reader;
mod sqlite_group_commit;
mod stale;
mod transaction;
mod write_check;

pub use crate::database::error::{Outage, describe};
use crate::database::permits::{ACQUIRE_TIMEOUT, CONNECT_TIMEOUT, ConnectionPermits};
pub(crate) use crate::database::row_reader::RowReader;
use crate::database::sqlite_group_commit::WriteQueue;
use crate::database::stale::StaleConnections;
pub use crate::database::transaction::Transaction;

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The SQLite file or its folder could not be made.
    #[error("the SQLite file or its folder could not be made: {0}")]
    Folder(#[from] std::io::Error),
    /// It could not be opened or reached.
    #[error("{}", describe(.0))]
    Connect(#[from] DbErr),
    /// PgBouncer refuses a parameter with which the connection starts.
    #[error(
        "PgBouncer refuses the startup parameter {0}. Add `ignore_startup_parameters = {0}` to pgbouncer.ini, or remove \
         {0} from DATABASE_URL"
    )]
    StartupParameter(String),
    /// PgBouncer gives the connection to other clients, too.
    #[error(
        "PgBouncer gives each statement or transaction another connection (pool_mode = transaction or statement), on which \
         prepared statements and session settings do not work. Set `pool_mode = session` for this database in pgbouncer.ini"
    )]
    TransactionPooling,
}

/// How many connections read a SQLite file: several, so that some slow pages of the dashboard do not hold up everybody, and
/// not many, as each keeps its pages and statements.
const READ_CONNECTIONS: u32 = 4;
/// How much of a SQLite file the connection that writes keeps in memory, in KiB: half of SQLite's own default, as the system
/// keeps the file, too.
const WRITER_CACHE_KIB: u32 = 1_000;
/// The same of each connection that reads: less, as it is void whenever somebody has written.
const READER_CACHE_KIB: u32 = 256;

/// How many rows one statement deletes at most.
const DELETE_BATCH_SIZE: u64 = 1_000;

/// A pool of connections, and on SQLite the turns of those who write. Clones share both.
#[derive(Clone, Debug)]
pub struct Database {
    pool: DatabaseConnection,
    permits: ConnectionPermits,
    stale: StaleConnections,
    writing: Option<Writing>,
}

/// How SQLite is written to: by one connection, so that the pages it has read stay good. Those of a connection are all read
/// anew after another has written.
#[derive(Clone, Debug)]
struct Writing {
    connection: DatabaseConnection,
    turns: WriteQueue,
}

/// Opens the pool.
///
/// SQLite runs with a write-ahead log and `synchronous = FULL`: a commit is on the disk before anybody is told of it,
/// power cuts included, as it is on PostgreSQL.
pub async fn connect(url: &str) -> Result<Database, DatabaseError> {
    if let Some(path) = sqlite_path(url) {
        if let Some(folder) = Path::new(path).parent() {
            std::fs::create_dir_all(folder)?;
        }
        create_private(url)?;
        let stale = StaleConnections::of_sqlite();
        let writing = Writing {
            connection: open(sqlite(url, 1, WRITER_CACHE_KIB, &stale)).await?,
            turns: WriteQueue::start(stale.clone()),
        };
        let readers = sqlite(url, READ_CONNECTIONS, READER_CACHE_KIB, &stale);
        return Ok(Database::open(readers, stale, Some(writing)).await?);
    }
    let stale = StaleConnections::of_postgres();
    let mut options = options(url, CONNECT_TIMEOUT);
    let noted = stale.clone();
    options
        .max_connections(20)
        // PostgreSQL needs it for nothing that is read here, and PgBouncer refuses it.
        .map_sqlx_postgres_opts(|options| options.extra_float_digits(None))
        .map_sqlx_postgres_pool_opts(move |pool| {
            postgres_timeouts::with_liveness_checks(pool, &noted)
        });
    let db = match Database::open(options, stale, None).await {
        Ok(db) => db,
        Err(error) => return Err(pgbouncer::start_error(url, error).await),
    };
    pgbouncer::check_pool_mode(&db.pool).await?;
    Ok(db)
}

/// Creates the file of a SQLite URL for its owner alone, if there is none. SQLite gives the files beside it the same mode.
fn create_private(url: &str) -> std::io::Result<()> {
    let is_in_memory = url.contains(":memory:") || url.contains("mode=memory");
    let Ok(options) = SqliteConnectOptions::from_str(url) else {
        return Ok(());
    };
    if is_in_memory {
        return Ok(());
    }
    let mut private = std::fs::OpenOptions::new();
    private.write(true).create_new(true).mode(0o600);
    match private.open(options.get_filename()) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

async fn open(options: ConnectOptions) -> Result<DatabaseConnection, DbErr> {
    sea_orm::Database::connect(options).await
}

fn options(url: &str, acquire_timeout: Duration) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.acquire_timeout(acquire_timeout).sqlx_logging(false);
    options
}

fn sqlite(url: &str, connections: u32, cache_kib: u32, stale: &StaleConnections) -> ConnectOptions {
    let mut options = options(url, ACQUIRE_TIMEOUT);
    stale.replace_in_sqlite(&mut options);
    // A file does not hang up.
    options.test_before_acquire(false);
    options
        .max_connections(connections)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10))
                .foreign_keys(true)
                // What undoes a savepoint is written here; in a file it would cost as much as the log.
                .pragma("temp_store", "memory")
                // Below zero it is KiB, above it is pages.
                .pragma("cache_size", format!("-{cache_kib}"))
        });
    options
}

/// Begins a transaction that writes. On SQLite it waits for its turn first.
///
/// # Errors
/// When the database fails, or the turn does not come within its time-out.
pub async fn begin(db: &Database) -> Result<Transaction, DbErr> {
    match &db.writing {
        Some(writing) => writing.turns.take(&writing.connection).await,
        None => Transaction::begin(&db.pool, &db.permits, &db.stale).await,
    }
}

/// Whether the database cannot be reached, or went away in the middle of a call.
#[must_use]
pub fn is_gone(error: &DbErr) -> bool {
    matches!(
        Outage::of(error),
        Some(Outage::Unreachable | Outage::Restarting)
    )
}

/// The row that a unique key finds. Not by `one`, which says `LIMIT ?`: since 3.49 SQLite plans by the number that is bound
/// there, and so prepares the statement anew each time, which took a quarter of a request's processor time.
pub async fn find_unique<E: EntityTrait>(
    found: Select<E>,
    db: &impl ConnectionTrait,
) -> Result<Option<E::Model>, DbErr> {
    Ok(found.all(db).await?.into_iter().next())
}

/// The same keys, the last repeated until their number is a power of two: of statements for each number there would be too
/// many to keep them prepared.
pub fn pad_to_power_of_two<K: Clone>(keys: &[K]) -> impl Iterator<Item = K> {
    let more = keys.len().next_power_of_two() - keys.len();
    let last = keys.last().cloned();
    keys.iter()
        .cloned()
        .chain(last.into_iter().cycle().take(more))
}

/// The same rows in parts whose sizes are powers of two, for the same reason: an INSERT has no use for a row twice.
pub fn parts<R>(mut rows: Vec<R>) -> impl Iterator<Item = Vec<R>> {
    std::iter::from_fn(move || {
        let size = 1 << rows.len().checked_ilog2()?;
        let rest = rows.split_off(size);
        Some(std::mem::replace(&mut rows, rest))
    })
}

/// The rows that are found, held: nobody else changes or holds them before this transaction has ended. On PostgreSQL others
/// may still write rows that refer to them (`FOR NO KEY UPDATE`): a worker that binds several requests to one account else
/// waits for whoever ends these requests and holds the account, and they for the worker. That ends with a new key or the end
/// of the row, before which such rows have to be ended. SQLite has one writer at a time anyway.
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

/// Of the rows that a key is looked for in, those that nobody else is changing just now: on PostgreSQL two statements that
/// change several rows each could wait for each other for ever.
pub fn skip_locked<E: EntityTrait>(
    mut found: Select<E>,
    db: &impl ConnectionTrait,
) -> SelectStatement {
    if db.get_database_backend() == DbBackend::Postgres {
        found = found.lock_with_behavior(LockType::NoKeyUpdate, LockBehavior::SkipLocked);
    }
    found.into_query()
}

/// Deletes what is found, some at a time and each with a commit of its own, so that nobody else waits for long, and what is too
/// much for one statement is not left for ever. What somebody else is deleting just then is left to them. Returns how many.
///
/// # Errors
/// When the database fails. What was deleted before that stays deleted.
pub async fn delete_in_parts<E: EntityTrait>(
    db: &impl ConnectionTrait,
    found: Select<E>,
    id: E::Column,
) -> Result<u64, DbErr> {
    let part = found.select_only().column(id).limit(DELETE_BATCH_SIZE);
    let part = skip_locked(part, db);
    let mut deleted = 0;
    loop {
        let ids = id.in_subquery(part.clone());
        let rows = E::delete_many().filter(ids).exec(db).await?.rows_affected;
        deleted += rows;
        if rows < DELETE_BATCH_SIZE {
            return Ok(deleted);
        }
    }
}

impl Database {
    async fn open(
        options: ConnectOptions,
        stale: StaleConnections,
        writing: Option<Writing>,
    ) -> Result<Self, DbErr> {
        let connections = options.get_max_connections().unwrap_or(1) as usize;
        Ok(Self {
            pool: open(options).await?,
            permits: ConnectionPermits::new(connections),
            stale,
            writing,
        })
    }

    /// The result of a call on a connection of the pool, when one is free, and if PostgreSQL is heard of in time. A file does
    /// not fall silent.
    async fn on_pool<A, F>(&self, call: impl Fn() -> F + Sync) -> Result<A, DbErr>
    where
        F: Future<Output = Result<A, DbErr>> + Send,
    {
        let (call, is_file) = (&call, self.writing.is_some());
        let call = || async move {
            if is_file {
                call().await
            } else {
                postgres_timeouts::with_timeout(call()).await
            }
        };
        let called = self.permits.call(&self.pool, call).await;
        let (answer, _permit) = called.inspect_err(|error| self.stale.note(error))?;
        Ok(answer)
    }

    /// A transaction of its own for a statement, where it needs a turn.
    async fn turn_for(&self, statement: &Statement) -> Result<Option<Transaction>, DbErr> {
        if self.writing.is_none() || statement.sql.starts_with("SELECT") {
            return Ok(None);
        }
        begin(self).await.map(Some)
    }

    /// Has every statement told to somebody, for tests that count them. Transactions count those within them.
    pub fn set_metric_callback<F>(&mut self, callback: F)
    where
        F: Fn(&sea_orm::metric::Info<'_>) + Clone + Send + Sync + 'static,
    {
        if let Some(writing) = &mut self.writing {
            writing.connection.set_metric_callback(callback.clone());
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

/// Reads go straight to the pool; on SQLite a single statement that writes takes its turn like any transaction.
#[async_trait::async_trait]
impl ConnectionTrait for Database {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let Some(turn) = self.turn_for(&statement).await? else {
            return self
                .on_pool(|| self.pool.execute_raw(statement.clone()))
                .await;
        };
        let result = turn.execute_raw(statement).await?;
        turn.commit().await?;
        Ok(result)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.on_pool(|| self.pool.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let Some(turn) = self.turn_for(&statement).await? else {
            return self
                .on_pool(|| self.pool.query_one_raw(statement.clone()))
                .await;
        };
        let row = turn.query_one_raw(statement).await?;
        turn.commit().await?;
        Ok(row)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Some(turn) = self.turn_for(&statement).await? else {
            return self
                .on_pool(|| self.pool.query_all_raw(statement.clone()))
                .await;
        };
        let rows = turn.query_all_raw(statement).await?;
        turn.commit().await?;
        Ok(rows)
    }
}

/// The file of a SQLite URL.
fn sqlite_path(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Some(path.split('?').next().unwrap_or(path))
}
