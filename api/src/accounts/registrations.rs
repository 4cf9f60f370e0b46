//! What registrations write: new accounts, each with the mail about it and its event in the audit log, all or nothing; and
//! what is noted of those whose address is taken. Those of one moment go into one transaction, so the head of the audit log
//! is held once for all of them until their commit is on the disk, and a taken address waits for the same as a free one.
//!
//! What was asked for is done even if whoever asked has hung up meanwhile; the relay sends its mail then.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    batch::Batch,
    database::{Database, Transaction},
    models::{
        audit::{self, Actor, AuditKey, Event},
        password_reset::{self, NewReset},
        user::{self, NewUser, WriteUserError},
    },
    outbox::{NewMail, QueuedMail},
};
use sea_orm::DbErr;

use crate::http::{
    error::ApiError,
    together::{MAX_BATCH_SIZE, write_together},
};

/// One registration.
#[derive(Clone)]
pub struct Registration {
    /// The account that is to be made; none when its address is known to be taken.
    pub user: Option<NewUser>,
    /// The request for the code that the mail carries, if it does.
    pub code: Option<NewReset>,
    /// The mail about it.
    pub mail: Option<NewMail>,
    /// What is noted. Of an account that is made it is told here who it is.
    pub event: Event,
    /// When.
    pub at: DateTime<Utc>,
}

/// What was written of one.
struct Entry {
    user: Option<user::Model>,
    mail: Option<QueuedMail>,
}

/// See the module.
pub struct Registrations(Batch<Registration, Result<Entry, DbErr>>);

impl Registrations {
    /// Registrations in a database.
    #[must_use]
    pub fn new(db: &Database, key: AuditKey) -> Self {
        let db = db.clone();
        Self(Batch::new(MAX_BATCH_SIZE, 1, move |all| {
            enter(db.clone(), key.clone(), all)
        }))
    }

    /// Makes an account.
    ///
    /// # Errors
    /// When its address is taken, or the database fails.
    pub async fn make(
        &self,
        registration: Registration,
    ) -> Result<(user::Model, Option<QueuedMail>), ApiError> {
        let entry = self.0.ask(registration).await??;
        let user = entry.user.ok_or(WriteUserError::EmailTaken)?;
        Ok((user, entry.mail))
    }

    /// Notes one that makes none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refuse(&self, registration: Registration) -> Result<Option<QueuedMail>, ApiError> {
        Ok(self.0.ask(registration).await??.mail)
    }
}

async fn enter(db: Database, key: AuditKey, all: Vec<Registration>) -> Vec<Result<Entry, DbErr>> {
    write_together(&db, &all, |transaction, all| {
        Box::pin(write(transaction, key.clone(), all))
    })
    .await
}

async fn write(
    transaction: &Transaction,
    key: AuditKey,
    all: &[Registration],
) -> Result<Vec<Entry>, DbErr> {
    let new = all.iter().filter_map(|it| Some((it.user.clone()?, it.at)));
    let mut users = user::insert_many(transaction, new).await?;
    let (mut entries, mut codes) = (Vec::new(), Vec::new());
    let (mut mails, mut events) = (Vec::new(), Vec::new());
    for Registration {
        user,
        code,
        mail,
        event,
        at,
    } in all.iter().cloned()
    {
        let Some(new) = user else {
            entries.push((None, mail.is_some()));
            codes.extend(code);
            mails.extend(mail);
            events.push((event, at));
            continue;
        };
        // Taken out: of several with one address the first has it.
        let email = new.email.key();
        let Some(found) = users.iter().position(|user| user.email_key == email) else {
            entries.push((None, false));
            continue;
        };
        let user = users.swap_remove(found);
        let event = Event {
            actor: Actor::User(user.id),
            user_id: Some(user.id),
            ..event
        };
        events.push((event, at));
        let mail = mail.map(|mail| mail.about(user.id));
        entries.push((Some(user), mail.is_some()));
        codes.extend(code);
        mails.extend(mail);
    }
    password_reset::insert_many(transaction, codes).await?;
    let mut mails = NewMail::write_many(mails, transaction).await?.into_iter();
    // The last, as it holds the head.
    audit::append_many(transaction, &key, events).await?;
    Ok(entries
        .into_iter()
        .map(|(user, has_mail)| Entry {
            user,
            mail: has_mail.then(|| mails.next()).flatten(),
        })
        .collect())
}
