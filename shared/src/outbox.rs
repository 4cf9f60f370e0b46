//! How a mail is caused: a row in the transaction of its cause, then a wake-up through the queue.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus::{IntCounterVec, Opts, Registry};
use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use crate::{
    email::Email,
    mail::{self, MailKind},
    queue::{Queue, QueueError},
    trace, user,
};

/// How long a notice is worth sending. A reset code is worth sending for as long as its reset.
const NOTICE_LIFETIME: TimeDelta = TimeDelta::days(3);

/// How long a caller waits for the queue. The row is safe by then, so patience would buy nothing but a slow answer.
const PUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Writes mails and wakes the worker for them.
#[derive(Clone)]
pub struct Outbox {
    queue: Queue,
    message_domain: String,
    written: IntCounterVec,
}

/// A mail that is written and not yet pushed. Commit first, then [`Outbox::wake`]: pushed before the commit, the worker
/// might look before there is anything to see.
#[derive(Debug)]
#[must_use = "commit the transaction, then wake the worker"]
pub struct Written {
    id: Uuid,
    kind: MailKind,
}

impl Outbox {
    /// An outbox over a queue; the domain is the right-hand side of Message-IDs.
    ///
    /// # Errors
    /// When another figure of the registry has the name of its own.
    pub fn new(
        queue: Queue,
        message_domain: &str,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let written = IntCounterVec::new(
            Opts::new(
                "latchkey_mails_written_total",
                "Mails that were written into the outbox, by kind.",
            ),
            &["kind"],
        )?;
        registry.register(Box::new(written.clone()))?;
        Ok(Self {
            queue,
            message_domain: message_domain.to_owned(),
            written,
        })
    }

    /// How many workers there are to send what is written.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn workers(&self) -> Result<usize, QueueError> {
        self.queue.workers().await
    }

    /// Writes the mail that carries the code of a reset.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write_reset_code(
        &self,
        db: &impl ConnectionTrait,
        reset: Uuid,
        email: &Email,
        request_id: &str,
        now: DateTime<Utc>,
        reset_lifetime: TimeDelta,
    ) -> Result<Written, DbErr> {
        let mut row = mail::new_row(Uuid::now_v7(), MailKind::ResetCode, email.to_string(), now);
        row.reset_id = Some(reset);
        row.deliver_before = now + reset_lifetime;
        self.write(db, row, MailKind::ResetCode, request_id).await
    }

    /// Writes a notice to the owner of an account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write_notice(
        &self,
        db: &impl ConnectionTrait,
        kind: MailKind,
        user: &user::Model,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> Result<Written, DbErr> {
        let mut row = mail::new_row(Uuid::now_v7(), kind, user.email.to_string(), now);
        row.user_id = Some(user.id);
        row.deliver_before = now + NOTICE_LIFETIME;
        self.write(db, row, kind, request_id).await
    }

    async fn write(
        &self,
        db: &impl ConnectionTrait,
        mut row: mail::Model,
        kind: MailKind,
        request_id: &str,
    ) -> Result<Written, DbErr> {
        let id = row.id;
        row.message_id = format!("{id}@{}", self.message_domain);
        request_id.clone_into(&mut row.request_id);
        row.trace = trace::current();
        mail::insert(db, row).await?;
        Ok(Written { id, kind })
    }

    /// Wakes the worker for a committed mail. A queue that is down or full costs a moment's delay and nothing else: the
    /// relay finds the row.
    pub async fn wake(&self, mail: Written) {
        let Written { id, kind } = mail;
        self.written.with_label_values(&[kind.as_str()]).inc();
        let pushing = self.queue.push_if_room(id, kind.priority());
        match tokio::time::timeout(PUSH_TIMEOUT, pushing).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(mail.id = %id, %error, "A mail waits for the relay: the queue failed.");
            }
            Err(_) => {
                tracing::warn!(mail.id = %id, "A mail waits for the relay: the queue did not answer in time.");
            }
        }
    }
}
