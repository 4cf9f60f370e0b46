//! Which connections of a pool are to be replaced: after an error that a new connection may cure, all that were opened before.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectOptions, DbErr,
    sqlx::{Connection as _, SqliteConnection, pool::PoolConnectionMetadata},
};

use crate::database::error::Outage;

/// How long connections to PostgreSQL that were opened after such an error are kept in spite of another one.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The moment up to which connections are stale. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct StaleConnections {
    opened_until: Arc<Mutex<Option<Instant>>>,
    pause: Duration,
    is_cured: fn(Outage) -> bool,
}

impl StaleConnections {
    /// Of PostgreSQL. A server that stays read-only is not flooded with new connections.
    pub(super) fn of_postgres() -> Self {
        Self {
            opened_until: Arc::default(),
            pause: RECONNECT_PAUSE,
            is_cured: Outage::is_cured_by_reconnecting,
        }
    }

    /// Of SQLite, which may have ended the transaction by itself in any outage. A new connection costs little and may see a
    /// file system that is writable again.
    pub(super) fn of_sqlite() -> Self {
        Self {
            opened_until: Arc::default(),
            pause: Duration::ZERO,
            is_cured: |_| true,
        }
    }

    /// Looks at the error of a statement, and marks the present connections as stale if new ones may help.
    pub(super) fn note(&self, error: &DbErr) {
        // Without a connection there is none to replace.
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

    /// Whether a connection is good for further use.
    pub(super) fn keeps(&self, connection: &PoolConnectionMetadata) -> bool {
        let opened = Instant::now().checked_sub(connection.age);
        self.lock()
            .is_none_or(|until| opened.is_some_and(|opened| opened > until))
    }

    /// Has a SQLite pool replace stale connections, and those that are in a transaction although nobody uses them: SQLite
    /// ended it by itself, sqlx's ROLLBACK failed, and sqlx would begin the next one as a savepoint that nothing commits.
    pub(super) fn replace_in_sqlite(&self, options: &mut ConnectOptions) {
        let stale = self.clone();
        options.map_sqlx_sqlite_pool_opts(move |pool| {
            let (before, after) = (stale.clone(), stale.clone());
            pool.before_acquire(move |connection: &mut SqliteConnection, about| {
                let keeps = before.keeps(&about) && !connection.is_in_transaction();
                Box::pin(async move { Ok(keeps) })
            })
            // At once, as it may still have SQLite's write lock.
            .after_release(move |_, about| {
                let keeps = after.keeps(&about);
                Box::pin(async move { Ok(keeps) })
            })
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.opened_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
