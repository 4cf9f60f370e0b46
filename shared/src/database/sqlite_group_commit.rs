//! SQLite has one writer at a time, and each commit waits for the disk. So those of this program who write take turns,
//! first come, first served, and share the commit with whoever came while they wrote: a transaction each in savepoints of
//! one transaction, and one `fsync` for all of them. Nobody is told that a transaction counts before that.
//!
//! Without it they would wait in SQLite's busy handler, which sleeps and tries again, in no order. Other programs on the
//! same file still do.
//!
//! A transaction that is given up ends the sharing: those before it commit, and the next begins anew. After an error that may
//! have made SQLite roll everything back by itself, such as a full disk, no member commits, and every member gets the error.

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
    time::timeout,
};

use crate::database::{Transaction, error::Outage, stale::StaleConnections};

/// How long somebody waits for a turn: as long as SQLite itself would, see `busy_timeout`.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many share a commit at most, so that the first does not wait for ever.
const MAX_BATCH_SIZE: usize = 64;

/// Somebody who waits for a turn.
struct Waiting {
    pool: DatabaseConnection,
    answer: oneshot::Sender<Result<Transaction, DbErr>>,
}

/// The result of a commit, to somebody who waits for it.
type Told = oneshot::Sender<Result<(), DbErr>>;

/// Who writes next.
#[derive(Clone, Debug)]
pub(super) struct WriteQueue(mpsc::UnboundedSender<Waiting>);

/// The right to write, until it is dropped or given back.
#[derive(Debug)]
pub(super) struct WritePermit {
    is_first: bool,
    failure: GroupFailure,
    done: oneshot::Sender<Done>,
}

/// The error after which nothing of a shared commit may count, once there is one. Clones share it.
#[derive(Clone, Debug, Default)]
struct GroupFailure(Arc<OnceLock<DbErr>>);

impl GroupFailure {
    fn check(&self) -> Result<(), DbErr> {
        self.0.get().cloned().map_or(Ok(()), Err)
    }

    /// Of several errors the first is the cause.
    fn set(&self, error: &DbErr) {
        let _ = self.0.set(error.clone());
    }
}

/// What somebody gives back with the turn.
#[derive(Debug)]
struct Done {
    /// The transaction that all share, by the first of them.
    all: Option<DatabaseTransaction>,
    told: Told,
}

impl WriteQueue {
    /// Gives turns for as long as somebody can ask for one.
    pub(super) fn start(stale: StaleConnections) -> Self {
        let (turns, waiting) = mpsc::unbounded_channel();
        tokio::spawn(give(waiting, stale));
        Self(turns)
    }

    /// Waits for a turn.
    pub(super) async fn take(&self, pool: &DatabaseConnection) -> Result<Transaction, DbErr> {
        let (answer, turn) = oneshot::channel();
        let pool = pool.clone();
        let asked = self.0.send(Waiting { pool, answer });
        asked.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))?;
        match timeout(PERMIT_TIMEOUT, turn).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
            Err(_) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
        }
    }
}

impl WritePermit {
    /// Executes a statement, unless SQLite may have rolled the transaction back: in none, the statement would count at once.
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

    /// Gives the turn back with what was written in it, and waits until that is on the disk.
    pub(super) async fn commit(self, statements: DatabaseTransaction) -> Result<(), DbErr> {
        self.failure.check()?;
        let all = if self.is_first {
            Some(statements)
        } else {
            // The end of a savepoint. If it is gone, so is the whole transaction.
            let released = statements.commit().await;
            released.inspect_err(|error| self.failure.set(error))?;
            None
        };
        let (told, result) = oneshot::channel();
        let gone = || DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed);
        self.done.send(Done { all, told }).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

async fn give(mut waiting: mpsc::UnboundedReceiver<Waiting>, stale: StaleConnections) {
    while let Some(first) = waiting.recv().await {
        // Whoever has lost patience is passed over.
        if !first.answer.is_closed() {
            share(first, &mut waiting, &stale).await;
        }
    }
}

/// One transaction, of the first and of whoever comes while it is open.
async fn share(
    first: Waiting,
    waiting: &mut mpsc::UnboundedReceiver<Waiting>,
    stale: &StaleConnections,
) {
    let begun = begin(&first.pool).await;
    let all = match begun.inspect_err(|error| stale.note(error)) {
        Ok(all) => all,
        Err(error) => {
            let _ = first.answer.send(Err(error));
            return;
        }
    };
    let failure = GroupFailure::default();
    let Some(Done {
        all: Some(all),
        told,
    }) = write(first, all, true, &failure).await
    else {
        return record_failure(&failure, stale);
    };
    let mut told = vec![told];
    while told.len() < MAX_BATCH_SIZE {
        let Ok(next) = waiting.try_recv() else { break };
        if next.answer.is_closed() {
            continue;
        }
        let step = match savepoint(&all).await {
            Ok(step) => step,
            Err(error) => {
                failure.set(&error);
                let _ = next.answer.send(Err(error));
                break;
            }
        };
        let Some(done) = write(next, step, false, &failure).await else {
            break;
        };
        told.push(done.told);
    }
    let committed = match failure.check() {
        Ok(()) => all.commit().await.inspect_err(|error| failure.set(error)),
        Err(error) => {
            drop(all);
            Err(error)
        }
    };
    record_failure(&failure, stale);
    for told in told {
        // Whoever is gone meanwhile need not know.
        let _ = told.send(committed.clone());
    }
}

fn record_failure(failure: &GroupFailure, stale: &StaleConnections) {
    if let Err(error) = failure.check() {
        stale.note(&error);
    }
}

/// Lets somebody write; nothing when it was given up.
async fn write(
    somebody: Waiting,
    statements: DatabaseTransaction,
    is_first: bool,
    failure: &GroupFailure,
) -> Option<Done> {
    let (done, ended) = oneshot::channel();
    let turn = WritePermit {
        is_first,
        failure: failure.clone(),
        done,
    };
    let transaction = Transaction::in_turn(statements, turn);
    // Sent to nobody, it is dropped and thereby undone.
    let _ = somebody.answer.send(Ok(transaction));
    ended.await.ok()
}

/// SQLite gives its own turn at the beginning: whoever has read before it first writes is refused at once when another
/// program has written meanwhile, and nothing says that no trigger reads.
async fn begin(pool: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    pool.begin_with_options(options).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "within a transaction it is a savepoint"
)]
async fn savepoint(all: &DatabaseTransaction) -> Result<DatabaseTransaction, DbErr> {
    all.begin().await
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait as _, Statement};
    use tempfile::TempDir;
    use tokio::task::{JoinHandle, yield_now};

    use super::*;
    use crate::database::{Database, begin, connect};

    async fn open(folder: &TempDir) -> Database {
        let url = format!("sqlite://{}/test.db", folder.path().display());
        let db = connect(&url).await.unwrap();
        db.execute_unprepared("CREATE TABLE IF NOT EXISTS written (n INTEGER)")
            .await
            .unwrap();
        db
    }

    async fn write(transaction: &Transaction, number: i32) {
        let sql = format!("INSERT INTO written VALUES ({number})");
        transaction.execute_unprepared(&sql).await.unwrap();
    }

    async fn written(db: &Database) -> Vec<i32> {
        let query = Statement::from_string(
            db.get_database_backend(),
            "SELECT n FROM written ORDER BY n",
        );
        let rows = db.query_all_raw(query).await.unwrap();
        let number = |row: &sea_orm::QueryResult| row.try_get_by(0).unwrap();
        rows.iter().map(number).collect()
    }

    /// Somebody who waits for a turn.
    async fn waiting(db: &Database) -> JoinHandle<Transaction> {
        let db = db.clone();
        let waiting = tokio::spawn(async move { begin(&db).await.unwrap() });
        yield_now().await;
        waiting
    }

    #[tokio::test]
    async fn those_who_wait_share_the_commit_and_who_gives_up_takes_nobody_along() {
        let folder = TempDir::new().unwrap();
        let (db, other) = (open(&folder).await, open(&folder).await);
        let first = begin(&db).await.unwrap();
        write(&first, 1).await;
        let (second, third) = (waiting(&db).await, waiting(&db).await);

        let told = tokio::spawn(first.commit());
        let second = second.await.unwrap();
        write(&second, 2).await;
        assert!(!told.is_finished() && written(&other).await.is_empty());
        let second = tokio::spawn(second.commit());
        let third = third.await.unwrap();
        write(&third, 3).await;
        drop(third);

        told.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        assert_eq!(written(&other).await, [1, 2]);
        let fourth = begin(&db).await.unwrap();
        write(&fourth, 4).await;
        fourth.commit().await.unwrap();
        assert_eq!(written(&other).await, [1, 2, 4]);
    }

    #[tokio::test]
    async fn the_first_who_gives_up_undoes_its_own_alone_and_whoever_is_gone_is_passed_over() {
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
    async fn a_failed_statement_fails_alone() {
        let folder = TempDir::new().unwrap();
        let db = open(&folder).await;
        db.execute_unprepared("CREATE UNIQUE INDEX once ON written (n)")
            .await
            .unwrap();
        let first = begin(&db).await.unwrap();
        write(&first, 1).await;
        let second = waiting(&db).await;
        let told = tokio::spawn(first.commit());
        let second = second.await.unwrap();
        let again = second.execute_unprepared("INSERT INTO written VALUES (1)");
        assert!(again.await.is_err());
        drop(second);

        told.await.unwrap().unwrap();
        assert_eq!(written(&db).await, [1]);
    }
}
