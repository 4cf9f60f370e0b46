//! The audit log: a chain of events that reveals later changes.
//!
//! Each event has a MAC over its content and the MAC before it. The key is not in the database. The chain head stores the last
//! MAC and a seal, a MAC of its own; an empty log is sealed, too ([`seal_empty`]). So altered, removed, added and moved events
//! are detected, also at the end of the chain, and so is an emptied log.
//!
//! Limits: an attacker who restores an earlier head with its seal, and removes the events after it, leaves a valid log. Only a
//! head that is recorded elsewhere reveals this: each API remembers the last head ([`HeadWatcher`]) and logs it, and [`verify`]
//! accepts an expected head. An attacker who has the key can forge the whole log.
//!
//! The chain contains no names and no email addresses, only fingerprints. The readable values and the client IPs are [`Details`]: they are
//! outside of the chain and are erased after a time, while the chain stays valid.

mod chain;
pub(super) mod details;
mod event;
pub(super) mod head;
mod lists;
mod verify;
mod watch;

use chrono::{DateTime, Utc};
use sea_orm::{IntoActiveModel as _, entity::prelude::*};

pub use crate::models::audit::{
    chain::AuditKey,
    details::{
        Details, ValueChange, erase_details_about, erase_details_before, load_details,
        names_of_deleted,
    },
    event::{Actor, Event, EventKind},
    lists::{
        ConcerningEvents, Filter, count_by_day, find_email_by_subject, find_user_by_subject, list,
        list_by_user, list_concerning,
    },
    verify::{ChainError, Head, verify},
    watch::HeadWatcher,
};
use crate::{database::Transaction, models::audit::chain::HEAD_TAMPERED};

/// The stored length of an address's fingerprint, in hexadecimal digits.
const SUBJECT_LENGTH: usize = 16;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    /// The sequence number in the chain, from 1 without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// When the event happened.
    pub at: DateTime<Utc>,
    /// An [`EventKind`] as text.
    pub event: String,
    /// `success` or `failure`.
    pub outcome: String,
    /// The actor: `user 7`, `operator` (the command line) or `anonymous`.
    pub actor: String,
    /// The account that the event is about.
    pub user_id: Option<i64>,
    /// The session that the event is about.
    pub session_id: Option<Uuid>,
    /// The fingerprint of the email that the client gave, whether or not it has an account.
    pub subject: Option<String>,
    /// The client IP. The row has it only if an earlier version stored the event; [`load_details`] sets that of other events.
    pub client_ip: Option<String>,
    /// The id of the request.
    pub request_id: String,
    /// Further information, in a few fixed words.
    pub detail: Option<String>,
    /// What an administrator changed, a line each: `field: before → after`. Personal data (name, email, phone number, birthday)
    /// is given by fingerprints.
    pub changes: Option<String>,
    /// The MAC over the details, if the event has any. It stays when they are erased.
    pub details_hash: Option<String>,
    /// The MAC over all columns and the MAC of the event before, in hexadecimal digits.
    pub hash: String,
}

/// No relations: an event outlives its account.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Seals the head of an empty log, so that an emptied log can be told from a new one. Unless `force` is set, it does so only
/// while there is no account either, because the log of a service in use cannot be proved to have always been empty. Returns
/// whether it sealed the head.
pub async fn seal_empty(
    db: &impl ConnectionTrait,
    key: &AuditKey,
    force: bool,
) -> Result<bool, DbErr> {
    head::seal_empty(db, &key.seal(0, ""), force).await
}

/// Appends an event. It locks the head's row until the transaction ends, so it has to be the last statement of its transaction:
/// this avoids deadlocks.
pub async fn append(
    transaction: &Transaction,
    key: &AuditKey,
    event: Event,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let head = head::take(transaction).await?;
    let before = head.seq - 1;
    let mut previous_hash = head.hash;
    if !key.seals(before, &previous_hash, &head.seal) {
        tracing::error!(
            audit.seq = head.seq,
            "The audit chain head was tampered with. The next event records it."
        );
        HEAD_TAMPERED.clone_into(&mut previous_hash);
    }
    let mut event = event;
    event.details.client_ip = event.client_ip.take();
    let content = event.details.content();
    let mut row = event.row(head.seq, now);
    row.details_hash = content
        .as_ref()
        .map(|content| key.details_hash(head.seq, content));
    row.hash = key.hash(&row, &previous_hash);
    head::set(transaction, &row.hash, &key.seal(head.seq, &row.hash)).await?;
    Entity::insert(row.into_active_model().reset_all())
        .exec_without_returning(transaction)
        .await?;
    match content {
        Some(content) => details::insert(transaction, head.seq, content).await,
        None => Ok(()),
    }
}
