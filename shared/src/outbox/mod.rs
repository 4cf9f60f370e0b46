//! How a mail is caused: a row in the transaction of its cause, then a wake-up through the queue.

pub mod template;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus::{IntCounterVec, Opts, Registry};
use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use crate::{
    dependency::Refusal,
    models::{
        mail::{self, MailKind},
        password_reset::Purpose,
        user,
    },
    queue::{Queue, QueueError},
    telemetry::trace,
    types::email::Email,
};

/// How long a notice is worth sending. A code is worth sending for as long as what it was asked for.
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

/// A mail that is to be written.
#[derive(Clone, Debug)]
pub struct NewMail {
    row: mail::Model,
    kind: MailKind,
}

impl NewMail {
    /// The same about an account, if it is a notice.
    #[must_use]
    pub fn about(mut self, user_id: i64) -> Self {
        self.row.user_id = Some(user_id).filter(|_| self.kind.purpose().is_none());
        self
    }

    /// The same caused by a request from a client network, which its budget counts.
    #[must_use]
    pub fn with_client_network(mut self, client_network: String) -> Self {
        self.row.client_network = Some(client_network);
        self
    }

    /// Writes it.
    pub async fn write(self, db: &impl ConnectionTrait) -> Result<QueuedMail, DbErr> {
        let queued = QueuedMail {
            id: self.row.id,
            kind: self.kind,
        };
        mail::insert(db, self.row).await?;
        Ok(queued)
    }
}

/// A mail that is written and not yet pushed. Commit first, then [`Outbox::wake`]: pushed before the commit, the worker
/// might look before there is anything to see.
#[derive(Debug)]
#[must_use = "commit the transaction, then wake the worker"]
pub struct QueuedMail {
    id: Uuid,
    kind: MailKind,
}

impl Outbox {
    /// An outbox over a queue; the domain is the right-hand side of Message-IDs.
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
    pub async fn workers(&self) -> Result<usize, QueueError> {
        self.queue.workers().await
    }

    /// The mail that carries a code for a purpose. It goes to the stored address of the account, which the worker looks up;
    /// of the address that was given only the key is kept.
    #[must_use]
    pub fn code(
        &self,
        reset: Uuid,
        purpose: Purpose,
        email: &Email,
        request_id: &str,
        now: DateTime<Utc>,
        reset_lifetime: TimeDelta,
    ) -> NewMail {
        let kind = match purpose {
            Purpose::Reset => MailKind::ResetCode,
            Purpose::Activation => MailKind::ActivationCode,
        };
        let mut draft = self.draft(kind, email, request_id, now);
        draft.row.reset_id = Some(reset);
        email.key().as_str().clone_into(&mut draft.row.recipient);
        draft.row.deliver_before = now + reset_lifetime;
        draft
    }

    /// A notice to whoever gets an account that is yet to be made.
    #[must_use]
    pub fn notice(
        &self,
        kind: MailKind,
        email: &Email,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> NewMail {
        let mut draft = self.draft(kind, email, request_id, now);
        draft.row.deliver_before = now + NOTICE_LIFETIME;
        draft
    }

    /// Writes a notice to the owner of an account.
    pub async fn write_notice(
        &self,
        db: &impl ConnectionTrait,
        kind: MailKind,
        user: &user::Model,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> Result<QueuedMail, DbErr> {
        let mut draft = self.notice(kind, &user.email, request_id, now);
        draft.row.recipient_verified = user.email_verified_at.is_some();
        draft.about(user.id).write(db).await
    }

    fn draft(&self, kind: MailKind, to: &Email, request_id: &str, now: DateTime<Utc>) -> NewMail {
        let id = Uuid::now_v7();
        let mut row = mail::new_row(id, kind, to, now);
        row.message_id = format!("{id}@{}", self.message_domain);
        request_id.clone_into(&mut row.request_id);
        row.trace = trace::current();
        NewMail { row, kind }
    }

    /// Wakes the worker for a committed mail. A queue that is down or full costs a moment's delay and nothing else: the
    /// relay finds the row.
    pub async fn wake(&self, mail: QueuedMail) {
        let QueuedMail { id, kind } = mail;
        self.written.with_label_values(&[kind.as_str()]).inc();
        let pushing = self.queue.push_if_room(id, kind.priority());
        match tokio::time::timeout(PUSH_TIMEOUT, pushing).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let error = Refusal::from(&error);
                tracing::warn!(mail.id = %id, %error, "A mail waits for the relay: the queue failed.");
            }
            Err(_) => {
                tracing::warn!(mail.id = %id, "A mail waits for the relay: the queue did not answer in time.");
            }
        }
    }
}
