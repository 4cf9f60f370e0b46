//! Requests for a code, each with the mail that carries it, both or neither; those of one moment in one transaction.

use latchkey_shared::{
    batch::Batch,
    database::{Database, Transaction},
    models::password_reset::{self, NewReset},
    outbox::{Draft, Written},
};
use sea_orm::DbErr;

use crate::http::{
    error::ApiError,
    together::{MOST, write_together},
};

/// A request and its mail.
pub type Asked = (NewReset, Draft);

/// See the module.
pub struct ResetRequests(Batch<Asked, Result<Written, DbErr>>);

impl ResetRequests {
    /// Requests in a database.
    #[must_use]
    pub fn new(db: &Database) -> Self {
        let db = db.clone();
        Self(Batch::new(MOST, 1, move |all| note(db.clone(), all)))
    }

    /// Notes a request and its mail.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note(&self, asked: Asked) -> Result<Written, ApiError> {
        Ok(self.0.ask(asked).await??)
    }
}

async fn note(db: Database, all: Vec<Asked>) -> Vec<Result<Written, DbErr>> {
    write_together(&db, &all, |transaction, all| {
        Box::pin(write(transaction, all))
    })
    .await
}

async fn write(transaction: &Transaction, all: &[Asked]) -> Result<Vec<Written>, DbErr> {
    let (resets, mails) = all.iter().cloned().unzip();
    password_reset::insert_many(transaction, resets).await?;
    Draft::write_many(mails, transaction).await
}
