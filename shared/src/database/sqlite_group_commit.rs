//! Group commit for SQLite.
//!
//! SQLite has a single writer, and each commit waits for the disk. So the transactions of this program queue for a write permit,
//! in the order of their arrival. Those that arrive during a transaction join its commit: each runs in a savepoint of one SQLite
//! transaction, and one `fsync` makes all durable. No caller gets a result before that.
//!
//! Without the queue, transactions would wait in SQLite's busy handler, which polls in no order. Other programs that use the same
//! file still do.
//!
//! A transaction that is rolled back ends the group: the members before it commit, and the next transaction begins a new group.
//! After an error that may have made SQLite roll back the whole transaction, such as a full disk, no member commits, and all
//! members get the error.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use sea_orm::{
    ConnAcquireErr, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait as _,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};

use crate::database::{
    Transaction,
    error::{Outage, file_locked, is_acquire_timeout},
    sqlite_files::SqliteFiles,
    sqlite_log_recovery::LogRecovery,
    stale_connections::StaleConnections,
};

/// The maximum time in the write queue.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum time that SQLite waits for the lock of another program. Shorter than [`PERMIT_TIMEOUT`], so that the first caller
/// in the queue gets SQLite's error.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval in which the files are checked without a write, so that a lost log is replaced before the program ends.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of transactions in a group, which bounds the wait of the first one.
const MAX_BATCH_SIZE: usize = 64;

/// A caller that waits for a write permit.
struct Waiter {
    pool: DatabaseConnection,
    sender: oneshot::Sender<Result<Transaction, DbErr>>,
}

/// Receives the result of the commit.
type CommitSender = oneshot::Sender<Result<(), DbErr>>;

/// The queue of callers that wait for a write permit. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct WriteQueue(mpsc::UnboundedSender<Waiter>);

/// Permits the holder to write until it is dropped or committed.
#[derive(Debug)]
pub(super) struct WritePermit {
    is_first: bool,
    failure: GroupFailure,
    finished: oneshot::Sender<Finished>,
}

/// The error that makes all members of a group fail, once there is one. Clones share it.
#[derive(Clone, Debug, Default)]
struct GroupFailure(Arc<OnceLock<DbErr>>);

impl GroupFailure {
    fn check(&self) -> Result<(), DbErr> {
        self.0.get().cloned().map_or(Ok(()), Err)
    }

    /// Keeps the first of several errors, which is the cause.
    fn set(&self, error: &DbErr) {
        let _ = self.0.set(error.clone());
    }
}

/// A member that has finished its statements and waits for the commit.
#[derive(Debug)]
struct Finished {
    /// The group's SQLite transaction, from its first member.
    group: Option<DatabaseTransaction>,
    committed: CommitSender,
}

impl WriteQueue {
    /// Starts the task that grants permits and replaces a lost log. It ends once all clones are dropped.
    pub(super) fn start(stale: StaleConnections, recovery: Option<LogRecovery>) -> Self {
        let (sender, waiters) = mpsc::unbounded_channel();
        tokio::spawn(grant_permits(waiters, stale, recovery));
        Self(sender)
    }

    /// Waits for a write permit, and begins a transaction.
    pub(super) async fn acquire(&self, pool: &DatabaseConnection) -> Result<Transaction, DbErr> {
        let (sender, transaction) = oneshot::channel();
        let pool = pool.clone();
        let queued = self.0.send(Waiter { pool, sender });
        queued.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))?;
        match timeout(PERMIT_TIMEOUT, transaction).await {
            Ok(Ok(transaction)) => transaction,
            Ok(Err(_)) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
            // The callers before it wait for the lock of another program.
            Err(_) => Err(file_locked()),
        }
    }
}

impl WritePermit {
    /// Executes a statement, unless SQLite may have rolled back the transaction: the statement would then be committed alone.
    pub(super) async fn execute<A>(
        &self,
        statement: impl Future<Output = Result<A, DbErr>>,
    ) -> Result<A, DbErr> {
        self.failure.check()?;
        let result = statement.await;
        if let Err(error) = &result
            && Outage::of(error).is_some()
        {
            self.failure.set(error);
        }
        result
    }

    /// Returns the permit with the transaction's statements, and waits for the group's commit.
    pub(super) async fn commit(self, statements: DatabaseTransaction) -> Result<(), DbErr> {
        self.failure.check()?;
        let group = if self.is_first {
            Some(statements)
        } else {
            // Releases the savepoint. If this fails, the whole transaction is gone.
            let released = statements.commit().await;
            released.inspect_err(|error| self.failure.set(error))?;
            None
        };
        let (committed, result) = oneshot::channel();
        let closed = || DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed);
        let finished = Finished { group, committed };
        self.finished.send(finished).map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }
}

async fn grant_permits(
    mut waiters: mpsc::UnboundedReceiver<Waiter>,
    stale: StaleConnections,
    mut recovery: Option<LogRecovery>,
) {
    let mut checks = interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let first = tokio::select! {
            waiter = waiters.recv() => match waiter {
                Some(waiter) => Some(waiter),
                None => return,
            },
            _ = checks.tick(), if recovery.is_some() => None,
        };
        if let Some(recovery) = &mut recovery {
            recovery.recover_if_lost().await;
        }
        // Skips callers that were cancelled.
        if let Some(first) = first
            && !first.sender.is_closed()
        {
            let files = recovery.as_ref().map(LogRecovery::files);
            run_group(first, &mut waiters, &stale, files).await;
        }
    }
}

/// Runs a group: the first transaction and those that arrive before the commit.
async fn run_group(
    first: Waiter,
    waiters: &mut mpsc::UnboundedReceiver<Waiter>,
    stale: &StaleConnections,
    files: Option<&SqliteFiles>,
) {
    let begun = begin(&first.pool, files).await;
    let group = match begun.inspect_err(|error| stale.observe(error)) {
        Ok(group) => group,
        Err(error) => {
            let _ = first.sender.send(Err(error));
            return;
        }
    };
    let failure = GroupFailure::default();
    let Some(Finished {
        group: Some(group),
        committed,
    }) = run_member(first, group, true, &failure).await
    else {
        return observe_failure(&failure, stale);
    };
    let mut members = vec![committed];
    while members.len() < MAX_BATCH_SIZE {
        let Ok(next) = waiters.try_recv() else { break };
        if next.sender.is_closed() {
            continue;
        }
        let savepoint = match savepoint(&group).await {
            Ok(savepoint) => savepoint,
            Err(error) => {
                failure.set(&error);
                let _ = next.sender.send(Err(error));
                break;
            }
        };
        let Some(finished) = run_member(next, savepoint, false, &failure).await else {
            break;
        };
        members.push(finished.committed);
    }
    // Again, as a file may have been moved since.
    let result = match failure.check().and_then(|()| check_files(files)) {
        Ok(()) => commit(group, files)
            .await
            .inspect_err(|error| failure.set(error)),
        Err(error) => {
            drop(group);
            Err(error)
        }
    };
    observe_failure(&failure, stale);
    for member in members {
        // Sending fails if the caller was cancelled.
        let _ = member.send(result.clone());
    }
}

fn observe_failure(failure: &GroupFailure, stale: &StaleConnections) {
    if let Err(error) = failure.check() {
        stale.observe(&error);
    }
}

/// Runs one transaction of a group. Returns `None` if it was rolled back.
async fn run_member(
    waiter: Waiter,
    statements: DatabaseTransaction,
    is_first: bool,
    failure: &GroupFailure,
) -> Option<Finished> {
    let (sender, finished) = oneshot::channel();
    let permit = WritePermit {
        is_first,
        failure: failure.clone(),
        finished: sender,
    };
    let transaction = Transaction::in_group(statements, permit);
    // If the caller was cancelled, the transaction is dropped here and thereby rolled back.
    let _ = waiter.sender.send(Ok(transaction));
    finished.await.ok()
}

/// Begins with BEGIN IMMEDIATE, which takes SQLite's write lock at once. A transaction that reads before its first write fails if
/// another program has written in between, and a trigger may read.
async fn begin(
    pool: &DatabaseConnection,
    files: Option<&SqliteFiles>,
) -> Result<DatabaseTransaction, DbErr> {
    // First, so that the pool opens no connection to another file.
    check_files(files)?;
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let begun = pool.begin_with_options(options).await;
    // The pool has one connection. If it is not free, a cancelled caller's BEGIN still waits for the lock.
    begun.map_err(|error| {
        if is_acquire_timeout(&error) {
            file_locked()
        } else {
            error
        }
    })
}

/// Commits a group. The callers take it for stored, so checks that the commit is where the next start finds it.
async fn commit(group: DatabaseTransaction, files: Option<&SqliteFiles>) -> Result<(), DbErr> {
    group.commit().await?;
    check_files(files)
}

/// Checks that the files are still those that were opened. The next start would not find what is written into others.
fn check_files(files: Option<&SqliteFiles>) -> Result<(), DbErr> {
    files.map_or(Ok(()), SqliteFiles::check)
}

#[expect(
    clippy::disallowed_methods,
    reason = "within a transaction it is a savepoint"
)]
async fn savepoint(group: &DatabaseTransaction) -> Result<DatabaseTransaction, DbErr> {
    group.begin().await
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait as _;
    use tempfile::TempDir;

    use super::*;
    use crate::database::{
        begin,
        tests::test_table::{self, open, waiting, written},
    };

    async fn write(transaction: &Transaction, number: i32) {
        test_table::write(transaction, number).await.unwrap();
    }

    #[tokio::test]
    async fn waiting_transactions_share_the_commit_and_a_rollback_ends_the_group() {
        let folder = TempDir::new().unwrap();
        let (db, other) = (open(&folder).await, open(&folder).await);
        let first = begin(&db).await.unwrap();
        write(&first, 1).await;
        let (second, third) = (waiting(&db).await, waiting(&db).await);

        let first_commit = tokio::spawn(first.commit());
        let second = second.await.unwrap();
        write(&second, 2).await;
        assert!(!first_commit.is_finished() && written(&other).await.is_empty());
        let second = tokio::spawn(second.commit());
        let third = third.await.unwrap();
        write(&third, 3).await;
        drop(third);

        first_commit.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        assert_eq!(written(&other).await, [1, 2]);
        let fourth = begin(&db).await.unwrap();
        write(&fourth, 4).await;
        fourth.commit().await.unwrap();
        assert_eq!(written(&other).await, [1, 2, 4]);
    }

    #[tokio::test]
    async fn rollback_of_the_first_and_cancelled_callers_do_not_affect_others() {
        let folder = TempDir::new().unwrap();
        let db = open(&folder).await;
        let first = begin(&db).await.unwrap();
        write(&first, 1).await;
        let (gone, next) = (waiting(&db).await, waiting(&db).await);
        gone.abort();
        drop(first);

        let next = next.await.unwrap();
        write(&next, 2).await;
        next.commit().await.unwrap();
        assert_eq!(written(&db).await, [2]);
    }

    #[tokio::test]
    async fn failed_statement_fails_its_own_transaction_only() {
        let folder = TempDir::new().unwrap();
        let db = open(&folder).await;
        db.execute_unprepared("CREATE UNIQUE INDEX once ON written (n)")
            .await
            .unwrap();
        let first = begin(&db).await.unwrap();
        write(&first, 1).await;
        let second = waiting(&db).await;
        let first_commit = tokio::spawn(first.commit());
        let second = second.await.unwrap();
        let again = second.execute_unprepared("INSERT INTO written (n) VALUES (1)");
        assert!(again.await.is_err());
        drop(second);

        first_commit.await.unwrap().unwrap();
        assert_eq!(written(&db).await, [1]);
    }
}
