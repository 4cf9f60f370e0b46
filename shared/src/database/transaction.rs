//! Transactions, with a commit of their own or a shared one.

use std::sync::OnceLock;

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    TransactionTrait as _,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::database::{
    Database, postgres_timeouts::with_timeout, sqlite_group_commit::WritePermit,
    stale_connections::StaleConnections,
};

/// A transaction. Rolled back on drop unless committed.
#[derive(Debug)]
#[must_use = "what is not committed is undone"]
pub struct Transaction {
    // The first field, so that it is dropped and rolled back before the connection is free.
    statements: DatabaseTransaction,
    scope: Scope,
}

#[derive(Debug)]
enum Scope {
    /// A connection of the pool, with its own commit.
    Own {
        stale: StaleConnections,
        /// The error of the first failed statement. PostgreSQL executes a later COMMIT as a rollback, without an error.
        failure: OnceLock<DbErr>,
        _permit: OwnedSemaphorePermit,
    },
    /// A member of a group commit.
    Shared(WritePermit),
}

/// Begins a transaction that reads one snapshot of the database and writes nothing. On SQLite, the write-ahead log grows until it
/// ends.
pub async fn begin_snapshot(db: &Database) -> Result<Transaction, DbErr> {
    let transaction = Transaction::begin(db).await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        // This must precede the first query, which takes the snapshot. On SQLite, every transaction reads a snapshot.
        let snapshot = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
        transaction.execute_unprepared(snapshot).await?;
    }
    Ok(transaction)
}

impl Transaction {
    /// Begins a transaction on a connection of the pool.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what the others are to call, by way of `database::begin`"
    )]
    pub(super) async fn begin(db: &Database) -> Result<Self, DbErr> {
        let (statements, permit) = db.on_pool(|| db.pool.begin()).await?;
        Ok(Self {
            statements,
            scope: Scope::Own {
                stale: db.stale.clone(),
                failure: OnceLock::new(),
                _permit: permit,
            },
        })
    }

    /// Creates a transaction with a write permit.
    pub(super) fn in_group(statements: DatabaseTransaction, permit: WritePermit) -> Self {
        Self {
            statements,
            scope: Scope::Shared(permit),
        }
    }

    /// Commits the transaction. Once this returns `Ok`, it is on the disk.
    ///
    /// # Errors
    /// If the database fails, or an earlier statement failed and so rolled back the transaction. If the database did not respond,
    /// the transaction may or may not be committed.
    pub async fn commit(self) -> Result<(), DbErr> {
        match self.scope {
            Scope::Shared(permit) => permit.commit(self.statements).await,
            Scope::Own { stale, failure, .. } => match failure.into_inner() {
                Some(error) => Err(error),
                None => with_timeout(self.statements.commit())
                    .await
                    .inspect_err(|error| stale.observe(error)),
            },
        }
    }

    /// Runs a statement, with a timeout on PostgreSQL.
    async fn run<A>(&self, result: impl Future<Output = Result<A, DbErr>>) -> Result<A, DbErr> {
        match &self.scope {
            Scope::Shared(permit) => permit.execute(result).await,
            Scope::Own { stale, failure, .. } => with_timeout(result).await.inspect_err(|error| {
                stale.observe(error);
                let _ = failure.set(error.clone());
            }),
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.statements.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.run(self.statements.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.run(self.statements.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.run(self.statements.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(self.statements.query_all_raw(statement)).await
    }
}
