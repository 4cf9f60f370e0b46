//! A transaction, of its own or as one of several that share a commit.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement, TransactionTrait as _,
};
use tokio::sync::OwnedSemaphorePermit;

use super::{silence::answered, turns::Turn};

/// Statements that count together or not at all. Dropped before [`Transaction::commit`], none does.
#[derive(Debug)]
#[must_use = "what is not committed is undone"]
pub struct Transaction {
    statements: DatabaseTransaction,
    turn: Option<Turn>,
    /// Of the pool's connection that it has, unless it has a turn.
    _free: Option<OwnedSemaphorePermit>,
}

impl Transaction {
    /// One by itself.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what the others are to call, by way of `database::begin`"
    )]
    pub(super) async fn begin(
        pool: &DatabaseConnection,
        free: OwnedSemaphorePermit,
    ) -> Result<Self, DbErr> {
        Ok(Self {
            statements: answered(pool.begin()).await?,
            turn: None,
            _free: Some(free),
        })
    }

    /// One that has its turn.
    pub(super) fn in_turn(statements: DatabaseTransaction, turn: Turn) -> Self {
        Self {
            statements,
            turn: Some(turn),
            _free: None,
        }
    }

    /// Makes it count: when this returns Ok it is on the disk.
    ///
    /// # Errors
    /// When the database fails. When it did not even answer, nobody knows whether this counts.
    pub async fn commit(self) -> Result<(), DbErr> {
        match self.turn {
            Some(turn) => turn.commit(self.statements).await,
            None => answered(self.statements.commit()).await,
        }
    }

    /// The answer, if PostgreSQL is heard of in time.
    async fn heard<A>(&self, answer: impl Future<Output = Result<A, DbErr>>) -> Result<A, DbErr> {
        match self.turn {
            Some(_) => answer.await,
            None => answered(answer).await,
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.statements.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.heard(self.statements.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.heard(self.statements.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.heard(self.statements.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.heard(self.statements.query_all_raw(statement)).await
    }
}
