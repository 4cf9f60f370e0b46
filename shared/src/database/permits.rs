//! Permits for the connections of a pool, one each, so that requests wait for a permit with a few bytes: a query that waits for
//! a connection in the pool takes 15 KiB, and in a flood there are hundreds.
//!
//! sqlx opens a connection whenever none is idle. A server that refuses further ones (`53300`) would so fail requests that
//! could have waited for a connection that works. So each refusal withdraws a permit, until there are as many as
//! connections, and the request waits for another. A probe brings the permits back when the server accepts connections.
//!
//! A permit is free a moment before its connection is idle again, as the pool looks at it first. While permits are withdrawn,
//! a call that waits for a new connection meanwhile is therefore made again as soon as one is idle.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
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

use crate::database::error::describe;

/// The longest wait for a connection.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait of a pool for a new connection to PostgreSQL, after which a request tries for one of the others.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a server that refused connections is asked for one.
const PROBE_PERIOD: Duration = Duration::from_millis(250);
/// How often a call that waits for a new connection looks for one that is idle.
const IDLE_PERIOD: Duration = Duration::from_millis(5);

tokio::task_local! {
    /// Whether the pool has given this call its connection.
    static ACQUIRED: Arc<AtomicBool>;
}

/// Notes that the call which is being made has its connection; for the hooks of the pool, which run within the call.
pub(super) fn note_acquired() {
    // A call that nobody watches notes nothing.
    let _ = ACQUIRED.try_with(|acquired| acquired.store(true, Ordering::Relaxed));
}

/// The permits. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct ConnectionPermits {
    permits: Arc<Semaphore>,
    /// How many there are when the server accepts all connections.
    all: usize,
    /// How many are withdrawn.
    withdrawn: Arc<AtomicUsize>,
}

impl ConnectionPermits {
    pub(super) fn new(all: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(all)),
            all,
            withdrawn: Arc::default(),
        }
    }

    /// Makes a call that needs a connection of the pool, when there is one; returns the permit with the answer. A call whose
    /// new connection is refused is made again on one of the others. Nothing was executed then.
    pub(super) async fn call<A, F>(
        &self,
        pool: &DatabaseConnection,
        call: impl Fn() -> F,
    ) -> Result<(A, OwnedSemaphorePermit), DbErr>
    where
        F: Future<Output = Result<A, DbErr>> + Send,
    {
        let deadline = Instant::now() + ACQUIRE_TIMEOUT;
        loop {
            let permit = self.take(deadline).await?;
            match self.attempt(pool, &call, deadline).await {
                Ok(answer) => return Ok((answer, permit)),
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
                if let Ok(result) = timeout(IDLE_PERIOD, &mut called).await {
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

    async fn take(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, DbErr> {
        let permit = timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?;
        permit.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))
    }

    /// Withdraws a permit, unless it is the last one or the database is a file, which refuses nobody.
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

    /// Brings permits back while the server accepts connections: one, two, four, so that it is not flooded.
    async fn restore(self, pool: DatabaseConnection) {
        let (mut step, mut is_logged) = (1, false);
        while !pool.get_postgres_connection_pool().is_closed() {
            sleep(PROBE_PERIOD).await;
            if let Err(error) = probe(&pool).await {
                step = 1;
                if !std::mem::replace(&mut is_logged, true) {
                    let error = describe(&error);
                    tracing::error!(
                        error,
                        "PostgreSQL refuses new connections; those that are open go on"
                    );
                }
                continue;
            }
            let back = step.min(self.withdrawn.load(Ordering::Acquire));
            step *= 2;
            self.permits.add_permits(back);
            if self.withdrawn.fetch_sub(back, Ordering::AcqRel) == back {
                tracing::info!("PostgreSQL accepts connections again");
                return;
            }
        }
    }
}

/// Opens a connection beside the pool.
async fn probe(pool: &DatabaseConnection) -> Result<(), DbErr> {
    let options = pool.get_postgres_connection_pool().connect_options();
    let opened = timeout(CONNECT_TIMEOUT, async {
        let connection = PgConnection::connect_with(&options).await?;
        connection.close().await
    });
    let opened = opened.await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    opened.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))
}

/// Whether the pool got no connection, so that nothing was executed.
fn is_refused(error: &DbErr) -> bool {
    matches!(
        error,
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) | DbErr::Conn(RuntimeErr::SqlxError(_))
    )
}
