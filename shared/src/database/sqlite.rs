//! Opens SQLite files.

use std::{os::unix::fs::OpenOptionsExt as _, str::FromStr as _};

use sea_orm::{
    ConnectOptions, DbErr,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::database::{
    self, Database, Writer, open,
    permits::ACQUIRE_TIMEOUT,
    sqlite_files::SqliteFiles,
    sqlite_group_commit::{BUSY_TIMEOUT, WriteQueue},
    sqlite_log_recovery::LogRecovery,
    stale_connections::StaleConnections,
};

/// The number of connections that read a SQLite file. Several, so that slow pages of the dashboard do not block other requests,
/// but few, because each caches pages and statements.
const READ_CONNECTIONS: u32 = 4;
/// The page cache of the connection that writes to a SQLite file, in KiB. Half of SQLite's default, because the operating system
/// caches the file, too.
const WRITER_CACHE_KIB: u32 = 1_000;
/// The page cache of each connection that reads. Smaller, because each write invalidates it.
const READER_CACHE_KIB: u32 = 256;

/// Returns the file of a SQLite URL.
pub(super) fn path_in(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Some(path.split('?').next().unwrap_or(path))
}

/// Opens the file `path` of a URL.
pub(super) async fn connect(url: &str, path: &str) -> Result<Database, DbErr> {
    let stale = StaleConnections::of_sqlite();
    // Before the first connection, so that all connections open this file.
    let files = if is_in_memory(url) {
        None
    } else {
        SqliteFiles::new(path)
    };
    let connection = open(options(url, 1, WRITER_CACHE_KIB, &stale, files.clone())).await?;
    let readers = options(
        url,
        READ_CONNECTIONS,
        READER_CACHE_KIB,
        &stale,
        files.clone(),
    );
    let mut db = Database::open(readers, stale.clone()).await?;
    let recovery = match files {
        Some(files) => {
            let pools = [connection.clone(), db.pool.clone()];
            Some(LogRecovery::start(files, pools, db.permits.clone()).await?)
        }
        None => None,
    };
    db.writer = Some(Writer {
        connection,
        files: recovery.as_ref().map(|it| it.files().clone()),
        queue: WriteQueue::start(stale, recovery),
    });
    Ok(db)
}

/// Returns whether a URL is that of a database in memory.
pub(super) fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

/// Creates a SQLite file that only its owner can access, if there is none. SQLite gives its further files the same mode.
pub(super) fn create_private(url: &str) -> std::io::Result<()> {
    let Ok(options) = SqliteConnectOptions::from_str(url) else {
        return Ok(());
    };
    if is_in_memory(url) {
        return Ok(());
    }
    let mut private = std::fs::OpenOptions::new();
    private.write(true).create_new(true).mode(0o600);
    match private.open(options.get_filename()) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn options(
    url: &str,
    connections: u32,
    cache_kib: u32,
    stale: &StaleConnections,
    files: Option<SqliteFiles>,
) -> ConnectOptions {
    let mut options = database::options(url, ACQUIRE_TIMEOUT);
    let stale = stale.clone();
    options.map_sqlx_sqlite_pool_opts(move |pool| {
        let pool = stale.replace_in_sqlite(pool);
        match files.clone() {
            Some(files) => files.refuse_others(pool),
            None => pool,
        }
    });
    // A file cannot disconnect.
    options.test_before_acquire(false);
    options
        .max_connections(connections)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                // `create` creates the file. A new file in place of one that was moved away would lack every account.
                .create_if_missing(false)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY_TIMEOUT)
                .foreign_keys(true)
                // Savepoints keep their undo data here; in a file it would cost as much as the log.
                .pragma("temp_store", "memory")
                // A negative size is in KiB, a positive one in pages.
                .pragma("cache_size", format!("-{cache_kib}"))
        });
    options
}
