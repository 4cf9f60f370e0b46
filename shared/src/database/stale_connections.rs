//! Replaces stale connections of a pool: those opened before an error that a new connection may cure.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{
    DbErr,
    sqlx::{
        Connection as _, SqliteConnection, pool::PoolConnectionMetadata, sqlite::SqlitePoolOptions,
    },
};

use crate::database::error::Outage;

/// The minimum time between two such errors that make connections to PostgreSQL stale.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The time before which opened connections are stale. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct StaleConnections {
    opened_until: Arc<Mutex<Option<Instant>>>,
    pause: Duration,
    is_cured: fn(Outage) -> bool,
}

impl StaleConnections {
    /// For PostgreSQL. The pause avoids a flood of new connections to a server that stays read-only.
    pub(super) fn of_postgres() -> Self {
        Self {
            opened_until: Arc::default(),
            pause: RECONNECT_PAUSE,
            is_cured: Outage::is_cured_by_reconnecting,
        }
    }

    /// For SQLite, which may end a transaction in any outage. A new connection is cheap, and the file system may be writable
    /// again. After a move it would open another file. After a lost log,
    /// [`LogRecovery`](super::sqlite_log_recovery::LogRecovery) replaces the connections.
    pub(super) fn of_sqlite() -> Self {
        Self {
            opened_until: Arc::default(),
            pause: Duration::ZERO,
            is_cured: |outage| !matches!(outage, Outage::Moved | Outage::LogLost),
        }
    }

    /// Marks the present connections as stale if the error of a call may be cured by new ones.
    pub(super) fn observe(&self, error: &DbErr) {
        // The call had no connection.
        if matches!(error, DbErr::ConnectionAcquire(_)) {
            return;
        }
        if Outage::of(error).is_some_and(self.is_cured) {
            let now = Instant::now();
            let mut until = self.lock();
            if until.is_none_or(|until| now.duration_since(until) >= self.pause) {
                *until = Some(now);
            }
        }
    }

    /// Returns whether a connection may stay in use.
    pub(super) fn keeps(&self, connection: &PoolConnectionMetadata) -> bool {
        let opened = Instant::now().checked_sub(connection.age);
        self.lock()
            .is_none_or(|until| opened.is_some_and(|opened| opened > until))
    }

    /// Lets a SQLite pool replace stale connections, and idle ones in a transaction. In these, SQLite ended the transaction, sqlx's
    /// ROLLBACK failed, and sqlx would begin the next one as a savepoint that nothing commits.
    pub(super) fn replace_in_sqlite(&self, pool: SqlitePoolOptions) -> SqlitePoolOptions {
        let (before, after) = (self.clone(), self.clone());
        pool.before_acquire(move |connection: &mut SqliteConnection, about| {
            let keeps = before.keeps(&about) && !connection.is_in_transaction();
            Box::pin(async move { Ok(keeps) })
        })
        // Replaced at once, because it may still have SQLite's write lock.
        .after_release(move |_, about| {
            let keeps = after.keeps(&about);
            Box::pin(async move { Ok(keeps) })
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.opened_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
