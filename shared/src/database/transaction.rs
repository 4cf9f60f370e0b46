//! A transaction, of its own or as one of several that share a commit.

use std::sync::OnceLock;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement, TransactionTrait as _,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::database::{
    permits::ConnectionPermits, postgres_timeouts::with_timeout, sqlite_group_commit::WritePermit,
    stale::StaleConnections,
};

/// Statements that count together or not at all. Dropped before [`Transaction::commit`], none does.
#[derive(Debug)]
#[must_use = "what is not committed is undone"]
pub struct Transaction {
    // The first field, so that it is rolled back before anything else may use its connection.
    statements: DatabaseTransaction,
    scope: Scope,
}

#[derive(Debug)]
enum Scope {
    /// A connection of the pool.
    Own {
        stale: StaleConnections,
        /// The error of the first statement that failed: PostgreSQL answers a COMMIT after it with a rollback, and no error.
        failure: OnceLock<DbErr>,
        _permit: OwnedSemaphorePermit,
    },
    /// A commit that it shares with others.
    Shared(WritePermit),
}

impl Transaction {
    /// One by itself.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what the others are to call, by way of `database::begin`"
    )]
    pub(super) async fn begin(
        pool: &DatabaseConnection,
        permits: &ConnectionPermits,
        stale: &StaleConnections,
    ) -> Result<Self, DbErr> {
        let begun = permits.call(pool, || with_timeout(pool.begin())).await;
        let (statements, permit) = begun.inspect_err(|error| stale.note(error))?;
        Ok(Self {
            statements,
            scope: Scope::Own {
                stale: stale.clone(),
                failure: OnceLock::new(),
                _permit: permit,
            },
        })
    }

    /// One that has its turn.
    pub(super) fn in_turn(statements: DatabaseTransaction, turn: WritePermit) -> Self {
        Self {
            statements,
            scope: Scope::Shared(turn),
        }
    }

    /// Makes it count: when this returns Ok it is on the disk.
    ///
    /// # Errors
    /// When the database fails, or a statement has failed in a way that undid the transaction. When the database did not even
    /// answer, nobody knows whether this counts.
    pub async fn commit(self) -> Result<(), DbErr> {
        match self.scope {
            Scope::Shared(turn) => turn.commit(self.statements).await,
            Scope::Own { stale, failure, .. } => match failure.into_inner() {
                Some(error) => Err(error),
                None => with_timeout(self.statements.commit())
                    .await
                    .inspect_err(|error| stale.note(error)),
            },
        }
    }

    /// The result of a statement, if PostgreSQL is heard of in time.
    async fn run<A>(&self, result: impl Future<Output = Result<A, DbErr>>) -> Result<A, DbErr> {
        match &self.scope {
            Scope::Shared(turn) => turn.execute(result).await,
            Scope::Own { stale, failure, .. } => with_timeout(result).await.inspect_err(|error| {
                stale.note(error);
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
