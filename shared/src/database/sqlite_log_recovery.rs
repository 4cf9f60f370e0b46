//! Recovers from a lost write-ahead log of SQLite: a `-wal` or `-shm` file that was deleted or replaced.
//!
//! The log (`-wal`) has the commits that the database file lacks. Its index (`-shm`) has the locks of all programs. Connections keep
//! both files open. After a deletion, new connections create new files, while old ones write commits into a file that vanishes with
//! the program.
//!
//! One connection stays open, so that SQLite itself does not delete the files, which it does with the last connection. It
//! also saves the commits of a lost log in the database file. Then all connections close, as none may use the old files beside the new
//! ones, and new ones open. The lost log is empty by then: a program that still has it open cannot read or save outdated pages. If
//! only the index is lost, new connections create it from the log.

use std::{sync::Arc, time::Duration};

use sea_orm::{
    DatabaseConnection, DbErr, RuntimeErr,
    sqlx::{self, Connection as _, Row as _, SqliteConnection},
};
use tokio::time::{sleep, timeout};

use crate::database::{
    error::{Outage, describe, file_locked},
    permits::ConnectionPermits,
    sqlite_files::SqliteFiles,
};

/// Saves all commits of the log in the database file, and truncates the log.
const SAVE_LOG: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
/// Reads from the database, so that SQLite opens the log and its index.
const OPEN_LOG: &str = "PRAGMA schema_version";
/// SQLite's code for a file that ends early (`SQLITE_IOERR_SHORT_READ`).
const SHORT_READ: &str = "522";

/// The maximum wait for the end of running calls.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval in which closing connections are awaited.
const CLOSE_INTERVAL: Duration = Duration::from_millis(5);

/// Watches the files of a database, and replaces a lost log.
#[derive(Debug)]
pub(super) struct LogRecovery {
    files: SqliteFiles,
    /// The connection that stays open. `None` if it could not be opened again.
    connection: Option<SqliteConnection>,
    /// The pools of the writer and the readers.
    pools: [DatabaseConnection; 2],
    readers: ConnectionPermits,
    /// Whether the current failure was logged.
    is_logged: bool,
}

impl LogRecovery {
    /// Starts to watch the files of open pools. `readers` are the permits of the second one.
    pub(super) async fn start(
        files: SqliteFiles,
        pools: [DatabaseConnection; 2],
        readers: ConnectionPermits,
    ) -> Result<Self, DbErr> {
        let mut recovery = Self {
            files,
            connection: None,
            pools,
            readers,
            is_logged: false,
        };
        recovery.open().await?;
        Ok(recovery)
    }

    pub(super) fn files(&self) -> &SqliteFiles {
        &self.files
    }

    /// Replaces the log if it is lost. No transaction of the writer may be open. The files stay lost after a failure, which the
    /// next call attempts to recover from again.
    pub(super) async fn recover_if_lost(&mut self) {
        let lost = match self.files.check() {
            Err(error) if Outage::of(&error) == Some(Outage::LogLost) => describe(&error),
            _ => {
                self.is_logged = false;
                return;
            }
        };
        match self.recover().await {
            Ok(()) => {
                self.is_logged = false;
                tracing::error!(
                    error = lost,
                    "Write-ahead log lost; its commits were saved in the database file"
                );
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_logged, true) {
                    let cause = describe(&error);
                    tracing::error!(
                        error = lost,
                        cause,
                        "Write-ahead log lost; saving its commits failed and will be retried"
                    );
                }
            }
        }
    }

    async fn recover(&mut self) -> Result<(), DbErr> {
        let paused = timeout(PAUSE_TIMEOUT, async {
            let permit = self.readers.acquire_all().await?;
            for pool in &self.pools {
                close_all(pool).await;
            }
            Ok::<_, DbErr>(permit)
        });
        let _permit = paused.await.map_err(|_| file_locked())??;
        // Without its index, a log in place is not saved: SQLite reads it anew, and another program may have done so already.
        if let Some(connection) = &mut self.connection
            && !self.files.is_log_in_place()
        {
            save_log(connection).await?;
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await.map_err(connection_error)?;
        }
        self.open().await?;
        // The log may have been deleted again, or an index that another connection of this process keeps is still in use.
        self.files.check()
    }

    async fn open(&mut self) -> Result<(), DbErr> {
        let options = self.pools[1].get_sqlite_connection_pool().connect_options();
        let opened = SqliteConnection::connect_with(&options).await;
        let mut connection = opened.map_err(connection_error)?;
        self.files.check_identity()?;
        let read = sqlx::raw_sql(OPEN_LOG).execute(&mut connection).await;
        read.map_err(connection_error)?;
        self.connection = Some(connection);
        self.files.identify_log();
        Ok(())
    }
}

/// Closes the connections of a pool, and waits for those that are in use.
async fn close_all(pool: &DatabaseConnection) {
    let pool = pool.get_sqlite_connection_pool();
    loop {
        while let Some(connection) = pool.try_acquire() {
            // An error leaves nothing to close.
            let _ = connection.close().await;
        }
        if pool.size() == 0 {
            return;
        }
        sleep(CLOSE_INTERVAL).await;
    }
}

async fn save_log(connection: &mut SqliteConnection) -> Result<(), DbErr> {
    let saved = sqlx::raw_sql(SAVE_LOG).fetch_one(connection).await;
    match saved.and_then(|row| row.try_get::<i64, _>("busy")) {
        Ok(0) => Ok(()),
        // Another program reads or writes.
        Ok(_) => Err(file_locked()),
        // Another program has saved and truncated the log, and a new one has commits.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(SHORT_READ) => Ok(()),
        Err(error) => Err(connection_error(error)),
    }
}

fn connection_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))
}
