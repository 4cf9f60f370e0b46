//! Permits for the connections of a pool, one for each.
//!
//! Requests wait for a permit and not for a connection, because a waiting permit takes a few bytes and a query that waits in the
//! pool takes 15 KiB.
//!
//! sqlx opens a connection whenever none is idle. If PostgreSQL refuses it (`53300`), the request fails although it could have
//! waited for an open connection. So each refusal withdraws a permit, and the request waits for another one, until permits and
//! connections are equal in number. A probe restores the permits once PostgreSQL accepts connections.
//!
//! A permit is free slightly earlier than its connection is idle, because the pool checks the connection first. So while permits
//! are withdrawn, a call that waits for a new connection is repeated as soon as a connection is idle.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    ConnAcquireErr, DatabaseConnection, DbErr, RuntimeErr,
    sqlx::{self, Connection as _, PgConnection},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::database::error::{Outage, describe, is_acquire_timeout};

/// The maximum time to wait for a connection.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum time for a pool to open a connection to PostgreSQL. After that, a request waits for another connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The interval of probes of a server that refused connections.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// The interval in which a call that waits for a new connection looks for an idle one.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(5);

tokio::task_local! {
    /// Whether the pool has assigned a connection to the current call.
    static ACQUIRED: Arc<AtomicBool>;
}

/// Records that the current call has a connection. The hooks of the pool call it within that call.
pub(super) fn record_acquired() {
    // Fails outside of `attempt`.
    let _ = ACQUIRED.try_with(|acquired| acquired.store(true, Ordering::Relaxed));
}

/// The permits of a pool. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct ConnectionPermits {
    permits: Arc<Semaphore>,
    /// The number of permits while the server accepts all connections.
    all: usize,
    /// The number of withdrawn permits.
    withdrawn: Arc<AtomicUsize>,
    /// The error of the last refused connection, while the server refuses connections.
    refusal: Arc<Mutex<Option<DbErr>>>,
}

impl ConnectionPermits {
    pub(super) fn new(all: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(all)),
            all,
            withdrawn: Arc::default(),
            refusal: Arc::default(),
        }
    }

    /// Runs a call once a connection is available, and returns its result with the permit. If the new connection of the call is
    /// refused, nothing was executed, and the call is repeated on another connection.
    pub(super) async fn call<A, F>(
        &self,
        pool: &DatabaseConnection,
        call: impl Fn() -> F,
    ) -> Result<(A, OwnedSemaphorePermit), DbErr>
    where
        F: Future<Output = Result<A, DbErr>> + Send,
    {
        let deadline = Instant::now() + ACQUIRE_TIMEOUT;
        let called = self.call_until(deadline, pool, call).await;
        called.map_err(|error| self.explain(error))
    }

    /// Returns the error of the last refused connection, while the server refuses connections.
    pub(super) fn last_refusal(&self) -> Option<DbErr> {
        let refusal = self.refusal.lock();
        refusal.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_refusal(&self, refusal: Option<DbErr>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    /// Replaces the pool's timeout, which does not tell the reason, by the server's refusal. Keeps the timeout if the refusal
    /// would leave open whether a commit was stored: without a connection nothing was.
    fn explain(&self, error: DbErr) -> DbErr {
        if !is_acquire_timeout(&error) {
            return error;
        }
        let is_certain = |refusal: &DbErr| {
            Outage::of(refusal).is_some_and(|outage| !outage.leaves_commit_undecided())
        };
        self.last_refusal().filter(is_certain).unwrap_or(error)
    }

    async fn call_until<A, F>(
        &self,
        deadline: Instant,
        pool: &DatabaseConnection,
        call: impl Fn() -> F,
    ) -> Result<(A, OwnedSemaphorePermit), DbErr>
    where
        F: Future<Output = Result<A, DbErr>> + Send,
    {
        loop {
            let permit = self.acquire(deadline).await?;
            match self.attempt(pool, &call, deadline).await {
                Ok(result) => return Ok((result, permit)),
                Err(error) if is_refused(&error) && self.withdraw(permit, pool) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt<A, F>(
        &self,
        pool: &DatabaseConnection,
        call: impl Fn() -> F,
        deadline: Instant,
    ) -> Result<A, DbErr>
    where
        F: Future<Output = Result<A, DbErr>> + Send,
    {
        if self.withdrawn.load(Ordering::Acquire) == 0 {
            return call().await;
        }
        let pool = pool.get_postgres_connection_pool();
        loop {
            let acquired = Arc::<AtomicBool>::default();
            let mut called = pin!(ACQUIRED.scope(Arc::clone(&acquired), call()));
            loop {
                if let Ok(result) = timeout(IDLE_CHECK_INTERVAL, &mut called).await {
                    return result;
                }
                if acquired.load(Ordering::Relaxed) {
                    return called.await;
                }
                if Instant::now() > deadline {
                    return Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout));
                }
                if pool.num_idle() > 0 {
                    break;
                }
            }
        }
    }

    async fn acquire(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, DbErr> {
        let permit = timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?;
        permit.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))
    }

    /// Waits until no call has a connection, and keeps further ones waiting. For SQLite, which withdraws no permits.
    pub(super) async fn acquire_all(&self) -> Result<OwnedSemaphorePermit, DbErr> {
        let all = u32::try_from(self.all).unwrap_or(u32::MAX);
        let permits = Arc::clone(&self.permits).acquire_many_owned(all).await;
        permits.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))
    }

    /// Withdraws a permit. Returns false for the last permit and for SQLite, which refuses no connections.
    fn withdraw(&self, permit: OwnedSemaphorePermit, pool: &DatabaseConnection) -> bool {
        if !matches!(pool.get_database_backend(), sea_orm::DbBackend::Postgres) {
            return false;
        }
        let more = |withdrawn| (withdrawn + 1 < self.all).then_some(withdrawn + 1);
        let before = self
            .withdrawn
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        let Ok(before) = before else { return false };
        permit.forget();
        if before == 0 {
            tokio::spawn(self.clone().restore(pool.clone()));
        }
        true
    }

    /// Restores permits while the server accepts connections, in doubling steps so that it is not flooded.
    async fn restore(self, pool: DatabaseConnection) {
        let (mut step, mut is_logged) = (1, false);
        while !pool.get_postgres_connection_pool().is_closed() {
            sleep(PROBE_INTERVAL).await;
            if let Err(error) = probe(&pool).await {
                step = 1;
                self.set_refusal(Some(error.clone()));
                if !std::mem::replace(&mut is_logged, true) {
                    let error = describe(&error);
                    // The health checks log an outage. They succeed while an open connection is left.
                    tracing::warn!(
                        error,
                        "PostgreSQL refuses new connections. Open ones stay in use."
                    );
                }
                continue;
            }
            self.set_refusal(None);
            let restored = step.min(self.withdrawn.load(Ordering::Acquire));
            step *= 2;
            self.permits.add_permits(restored);
            if self.withdrawn.fetch_sub(restored, Ordering::AcqRel) == restored {
                tracing::info!("PostgreSQL accepts connections again");
                return;
            }
        }
    }
}

/// Opens and closes a connection outside of the pool.
async fn probe(pool: &DatabaseConnection) -> Result<(), DbErr> {
    let options = pool.get_postgres_connection_pool().connect_options();
    let opened = timeout(CONNECT_TIMEOUT, async {
        let connection = PgConnection::connect_with(&options).await?;
        connection.close().await
    });
    let opened = opened.await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    opened.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))
}

/// Returns whether the pool got no connection, so that nothing was executed.
fn is_refused(error: &DbErr) -> bool {
    matches!(
        error,
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) | DbErr::Conn(RuntimeErr::SqlxError(_))
    )
}
