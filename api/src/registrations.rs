//! New accounts, each with the mail about it and its event in the audit log, all or nothing; those of one moment in one
//! transaction. So the head of the audit log is held once for all of them until their commit is on the disk.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    audit::{self, Actor, AuditKey, Event},
    batch::Batch,
    database::{Database, Transaction},
    outbox::{Draft, Written},
    user::{self, NewUser, WriteUserError},
};
use sea_orm::DbErr;

use crate::{
    error::ApiError,
    together::{MOST, write_together},
};

/// An account that is to be made.
#[derive(Clone)]
pub struct Registration {
    /// The account.
    pub user: NewUser,
    /// The mail about it.
    pub mail: Draft,
    /// What is noted of it; by whom and of which account follows.
    pub event: Event,
    /// When.
    pub at: DateTime<Utc>,
}

/// An account that was made, and its mail.
type Made = (user::Model, Written);

/// See the module.
pub struct Registrations(Batch<Registration, Result<Option<Made>, DbErr>>);

impl Registrations {
    /// Registrations in a database.
    #[must_use]
    pub fn new(db: &Database, key: AuditKey) -> Self {
        let db = db.clone();
        Self(Batch::new(MOST, 2, move |all| {
            make(db.clone(), key.clone(), all)
        }))
    }

    /// Makes an account.
    ///
    /// # Errors
    /// When its address is taken, or the database fails.
    pub async fn make(&self, registration: Registration) -> Result<Made, ApiError> {
        let made = self.0.ask(registration).await??;
        Ok(made.ok_or(WriteUserError::EmailTaken)?)
    }
}

async fn make(
    db: Database,
    key: AuditKey,
    all: Vec<Registration>,
) -> Vec<Result<Option<Made>, DbErr>> {
    write_together(&db, &all, |transaction, all| {
        Box::pin(write(transaction, key.clone(), all))
    })
    .await
}

/// Of each the account with its mail, if the address was free.
async fn write(
    transaction: &Transaction,
    key: AuditKey,
    all: &[Registration],
) -> Result<Vec<Option<Made>>, DbErr> {
    let new = all.iter().map(|it| (it.user.clone(), it.at));
    let mut users = user::insert_many(transaction, new).await?;
    let (mut mails, mut events) = (Vec::new(), Vec::new());
    let made: Vec<_> = all
        .iter()
        .map(|registration| {
            // Taken out: of several with one address the first has it.
            let email = registration.user.email.key();
            let found = users.iter().position(|user| user.email_key == email)?;
            let user = users.swap_remove(found);
            mails.push(registration.mail.clone().about(user.id));
            let event = Event {
                actor: Actor::User(user.id),
                user_id: Some(user.id),
                ..registration.event.clone()
            };
            events.push((event, registration.at));
            Some(user)
        })
        .collect();
    let mut mails = Draft::write_many(mails, transaction).await?.into_iter();
    // The last, as it holds the head.
    audit::append_many(transaction, &key, events).await?;
    Ok(made
        .into_iter()
        .map(|user| user.and_then(|user| Some((user, mails.next()?))))
        .collect())
}
