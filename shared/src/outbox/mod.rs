//! The outbox: a mail is stored as a row in the transaction of its cause, and its id is then pushed to the queue.

pub mod template;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus::{IntCounterVec, Opts, Registry};
use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use crate::{
    dependency::FailureReports,
    models::{
        mail::{self, MailKind},
        password_reset::Purpose,
        user,
    },
    queue::{Queue, QueueError},
    redis::fault,
    telemetry::trace,
    types::{api_token_name::ApiTokenName, email::Email},
};

/// The time within which a notification is delivered. Mails with a one-time code use the lifetime of their request.
const NOTIFICATION_LIFETIME: TimeDelta = TimeDelta::days(3);

/// The timeout of a push to the queue. It is short because the mail is already stored, and the relay pushes it later.
const PUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Creates mails and notifies the worker of them.
#[derive(Clone)]
pub struct Outbox {
    queue: Queue,
    message_domain: String,
    written: IntCounterVec,
    failures: FailureReports,
}

/// A mail that is not yet stored.
#[derive(Clone, Debug)]
pub struct NewMail {
    row: mail::Model,
    kind: MailKind,
}

impl NewMail {
    /// Sets the account that a notification is about. Has no effect on mails with a one-time code.
    #[must_use]
    pub fn about(mut self, user_id: i64) -> Self {
        self.row.user_id = Some(user_id).filter(|_| self.kind.purpose().is_none());
        self
    }

    /// Sets the request that a notification is about. Has no effect on mails with a one-time code.
    #[must_use]
    pub fn about_request(mut self, request: Uuid) -> Self {
        if self.kind.purpose().is_none() {
            self.row.reset_id = Some(request);
        }
        self
    }

    /// Sets the customer network, which budgets count.
    #[must_use]
    pub fn with_customer_network(mut self, customer_network: String) -> Self {
        self.row.customer_network = Some(customer_network);
        self
    }

    /// Sets the known browser and system of the login that a notification is about.
    #[must_use]
    pub fn with_device(mut self, device: Option<String>) -> Self {
        self.row.device = device;
        self
    }

    /// Sets the API token that a notification is about.
    #[must_use]
    pub fn about_api_token(mut self, name: ApiTokenName) -> Self {
        self.row.api_token_name = Some(name);
        self
    }

    /// Stores the mail.
    pub async fn insert(self, db: &impl ConnectionTrait) -> Result<QueuedMail, DbErr> {
        let queued = QueuedMail {
            id: self.row.id,
            kind: self.kind,
        };
        mail::insert(db, self.row).await?;
        Ok(queued)
    }
}

/// A stored mail that is not yet pushed to the queue. Commit first, then call [`Outbox::notify_worker`]: the worker does not see
/// the row before the commit.
#[derive(Debug)]
#[must_use = "commit the transaction, then notify the worker"]
pub struct QueuedMail {
    id: Uuid,
    kind: MailKind,
}

impl Outbox {
    /// Creates an outbox. The right-hand side of Message-IDs is `message_domain`. Failed pushes are reported to `failures`.
    pub fn new(
        queue: Queue,
        message_domain: &str,
        registry: &Registry,
        failures: FailureReports,
    ) -> prometheus::Result<Self> {
        let written = IntCounterVec::new(
            Opts::new(
                "latchkey_mails_queued_total",
                "Mails queued in the outbox, by kind.",
            ),
            &["kind"],
        )?;
        registry.register(Box::new(written.clone()))?;
        Ok(Self {
            queue,
            message_domain: message_domain.to_owned(),
            written,
            failures,
        })
    }

    /// Returns the number of live workers.
    pub async fn workers(&self) -> Result<usize, QueueError> {
        self.queue.workers().await
    }

    /// Creates the mail with a one-time code. The worker looks up the account and its stored address, so the row contains only
    /// the key of the given email.
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
        let kind = MailKind::of_code(purpose);
        let mut mail = self.new_mail(kind, email, request_id, now);
        mail.row.reset_id = Some(reset);
        email.key().as_str().clone_into(&mut mail.row.recipient);
        mail.row.deliver_before = now + reset_lifetime;
        mail
    }

    /// Creates a notification to an email whose account does not exist yet.
    #[must_use]
    pub fn notice(
        &self,
        kind: MailKind,
        email: &Email,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> NewMail {
        let mut mail = self.new_mail(kind, email, request_id, now);
        mail.row.deliver_before = now + NOTIFICATION_LIFETIME;
        mail
    }

    /// Creates a notification to the email of an account that gets the codes of password resets, which an attacker with a stolen
    /// token cannot change at once.
    #[must_use]
    pub fn owner_notice(
        &self,
        kind: MailKind,
        user: &user::Model,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> NewMail {
        self.notice_about(kind, user, user.reset_email(now), request_id, now)
    }

    /// Stores a notification to the current email of an account.
    pub async fn insert_notice(
        &self,
        db: &impl ConnectionTrait,
        kind: MailKind,
        user: &user::Model,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> Result<QueuedMail, DbErr> {
        self.notice_about(kind, user, &user.email, request_id, now)
            .insert(db)
            .await
    }

    /// Creates a notification about an account to one of its emails.
    #[must_use]
    pub fn notice_about(
        &self,
        kind: MailKind,
        user: &user::Model,
        to: &Email,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> NewMail {
        let mut mail = self.notice(kind, to, request_id, now);
        mail.row.recipient_verified = user.has_confirmed_email() && to.key() == user.email_key;
        if let Some(language) = user.language.as_ref().filter(|_| kind.outlives_account()) {
            mail.row.locale = language.to_string();
        }
        mail.about(user.id)
    }

    fn new_mail(
        &self,
        kind: MailKind,
        to: &Email,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> NewMail {
        let id = Uuid::now_v7();
        let mut row = mail::new_row(id, kind, to, now);
        row.message_id = format!("{id}@{}", self.message_domain);
        request_id.clone_into(&mut row.request_id);
        row.trace = trace::current();
        NewMail { row, kind }
    }

    /// Pushes a committed mail to the queue. If the queue is down, full or slow, the relay pushes the mail later.
    pub async fn notify_worker(&self, mail: QueuedMail) {
        let QueuedMail { id, kind } = mail;
        self.written.with_label_values(&[kind.as_str()]).inc();
        let pushing = self.queue.push_unless_full(id, kind.priority());
        let error = match tokio::time::timeout(PUSH_TIMEOUT, pushing).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => (&error).into(),
            Err(_) => fault::timed_out(),
        };
        tracing::debug!(mail.id = %id, %error, "Push to the queue failed. The relay will push the mail.");
        self.failures.report(error);
    }
}
