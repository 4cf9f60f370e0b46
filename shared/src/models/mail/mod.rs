//! Mails: the rows of the outbox.
//!
//! A row states how far a mail has come; the queue carries only its id. It holds the kind of mail and references, but no
//! code, token or text: the worker renders the text when it sends the mail. [`crate::outbox`] creates the rows and notifies
//! the worker.

mod claims;
pub mod delivery_health;
mod earlier_mails;
mod kind;
mod lists;
mod maintenance;
mod state;

use chrono::{DateTime, Utc};
use sea_orm::{IntoActiveModel as _, entity::prelude::*};

pub use crate::models::mail::{
    claims::{
        claim, end, extend_claim, mark_sent, release_claim, renew_claims, reschedule,
        set_recipient, take_due,
    },
    earlier_mails::{CountedMails, count_earlier},
    kind::{BudgetCause, MailKind, Priority},
    lists::{
        ConcerningMails, Filter, ProblemCounts, count_problems, count_queued_and_recent, last_sent,
        list, list_about, list_concerning, list_retryable, oldest_queued,
    },
    maintenance::{
        cancel, delete_about, delete_ended_before, delete_ended_of_deleted_accounts,
        erase_client_data, retry, retry_all,
    },
    state::MailState,
};
use crate::{
    database::find_unique,
    types::{
        api_token_name::ApiTokenName,
        email::{Email, EmailKey},
    },
};

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mails")]
pub struct Model {
    /// A UUID v7. The queue carries only this id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// A [`MailKind`] as text, so that a row of an unknown kind does not break queries over other rows.
    pub kind: String,
    /// The recipient's address, as text for the same reason. For mails with a one-time code, it is the mailbox's key until
    /// the worker has found the account, and then the account's address.
    pub recipient: String,
    /// The key of the recipient's address. Lists look it up.
    pub recipient_key: EmailKey,
    /// The key of the recipient's mailbox ([`EmailKey::mailbox`]), which the addresses of one mailbox share. Budgets count by it.
    pub recipient_mailbox: EmailKey,
    /// The password reset whose one-time code the mail carries.
    pub reset_id: Option<Uuid>,
    /// The account that the mail is about.
    pub user_id: Option<i64>,
    /// The language of a mail whose account no longer exists when it is sent ([`MailKind::outlives_account`]), a BCP 47 tag. The
    /// worker renders other mails in the language that their account has then.
    pub locale: String,
    /// When the mail was created.
    pub created_at: DateTime<Utc>,
    /// The deadline. A mail that is not sent by then expires.
    pub deliver_before: DateTime<Utc>,
    /// The state of the delivery.
    pub state: MailState,
    /// The number of delivery attempts.
    pub attempts: i32,
    /// The earliest time of the next attempt.
    pub next_attempt_at: DateTime<Utc>,
    /// When the id was last pushed to the queue.
    pub pushed_at: Option<DateTime<Utc>>,
    /// The delivery that has claimed the mail.
    pub claimed_by: Option<Uuid>,
    /// When the claim ends unless it is renewed.
    pub claimed_until: Option<DateTime<Utc>>,
    /// Why the last attempt failed, or why the delivery ended. At most 500 characters.
    pub last_error: Option<String>,
    /// The cause of the last failed attempt, a [`DeliveryFailure`](delivery_health::DeliveryFailure) as text. `None` if no
    /// attempt reached the SMTP server, and once the mail is sent.
    pub failure: Option<String>,
    /// When that attempt failed.
    pub failed_at: Option<DateTime<Utc>>,
    /// When the SMTP server accepted the mail.
    pub sent_at: Option<DateTime<Utc>>,
    /// The Message-ID without angle brackets. All attempts use the same one.
    pub message_id: String,
    /// The id of the request that caused the mail.
    pub request_id: String,
    /// Whether the mail has [`Priority::High`].
    pub urgent: bool,
    /// The span that caused the mail, as a `traceparent` (W3C Trace Context). `None` while tracing is off.
    pub trace: Option<String>,
    /// The customer network (IPv4 address or IPv6 /48) whose request caused the mail, if budgets count it.
    pub customer_network: Option<String>,
    /// Whether an operator has exempted the mail from its mailbox's budget.
    pub beyond_budget: bool,
    /// Whether the account had proved the recipient's address when the mail was created. Always false for mails with a
    /// one-time code, because their account is not known at that time.
    pub recipient_verified: bool,
    /// The known browser and system of the login that the mail is about, if any.
    pub device: Option<String>,
    /// The name of the API token that the mail is about, if any.
    pub api_token_name: Option<ApiTokenName>,
}

impl Model {
    /// Returns the priority, which selects the queue.
    #[must_use]
    pub fn priority(&self) -> Priority {
        if self.urgent {
            Priority::High
        } else {
            Priority::Normal
        }
    }
}

/// No relations: a mail outlives its account and its password reset.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Stores a mail.
pub async fn insert(db: &impl ConnectionTrait, mail: Model) -> Result<(), DbErr> {
    let row = mail.into_active_model().reset_all();
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Returns the mail with this id.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    find_unique(Entity::find_by_id(id), db).await
}

/// A new row with the defaults of every mail.
pub(crate) fn new_row(id: Uuid, kind: MailKind, recipient: &Email, now: DateTime<Utc>) -> Model {
    Model {
        id,
        kind: kind.as_str().to_owned(),
        recipient: recipient.to_string(),
        recipient_key: recipient.key(),
        recipient_mailbox: recipient.key().mailbox(),
        reset_id: None,
        user_id: None,
        locale: "en".to_owned(),
        created_at: now,
        deliver_before: now,
        state: MailState::Queued,
        attempts: 0,
        next_attempt_at: now,
        // The caller pushes the mail next; the relay pushes it later if that fails.
        pushed_at: Some(now),
        claimed_by: None,
        claimed_until: None,
        last_error: None,
        failure: None,
        failed_at: None,
        sent_at: None,
        message_id: String::new(),
        request_id: String::new(),
        urgent: kind.priority() == Priority::High,
        trace: None,
        customer_network: None,
        beyond_budget: false,
        recipient_verified: false,
        device: None,
        api_token_name: None,
    }
}
