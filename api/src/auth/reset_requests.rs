//! Requests for a code, each with the mail that carries it, both or neither; those of one moment in one transaction.

use latchkey_shared::{
    batch::Batch,
    database::{Database, Transaction},
    models::password_reset::{self, NewReset},
    outbox::{NewMail, QueuedMail},
};
use sea_orm::DbErr;

use crate::http::{
    error::ApiError,
    together::{MAX_BATCH_SIZE, write_together},
};

/// A request and its mail.
pub type PendingReset = (NewReset, NewMail);

/// See the module.
pub struct ResetRequests(Batch<PendingReset, Result<QueuedMail, DbErr>>);

impl ResetRequests {
    /// Requests in a database.
    #[must_use]
    pub fn new(db: &Database) -> Self {
        let db = db.clone();
        Self(Batch::new(MAX_BATCH_SIZE, 1, move |all| {
            note(db.clone(), all)
        }))
    }

    /// Notes a request and its mail.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note(&self, asked: PendingReset) -> Result<QueuedMail, ApiError> {
        Ok(self.0.ask(asked).await??)
    }
}

async fn note(db: Database, all: Vec<PendingReset>) -> Vec<Result<QueuedMail, DbErr>> {
    write_together(&db, &all, |transaction, all| {
        Box::pin(write(transaction, all))
    })
    .await
}

async fn write(transaction: &Transaction, all: &[PendingReset]) -> Result<Vec<QueuedMail>, DbErr> {
    let (resets, mails) = all.iter().cloned().unzip();
    password_reset::insert_many(transaction, resets).await?;
    NewMail::write_many(mails, transaction).await
}
