//! The readable values of events: client IPs, names, emails, and personal data before and after a change.
//!
//! They are outside of the chain, so that they can be erased. The event has their MAC, which reveals altered values.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set,
    QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{ExprTrait as _, OnConflict},
};
use serde::{Deserialize, Serialize};

use crate::{
    crypto::token_hash::equal,
    database,
    models::audit::{AuditKey, EventKind, SUBJECT_LENGTH, lists},
};

/// The stored details of one event.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_details")]
pub struct Model {
    /// The sequence number of the event.
    #[sea_orm(primary_key, auto_increment = false)]
    seq: i64,
    /// [`Details`] as JSON.
    content: String,
}

/// No relations: details are erased before their event.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The readable values of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The client IP of a stored event. `audit::append` takes it from [`Event`](super::Event), and [`load_details`] returns it in the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// The name of the actor at the time of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// The name of the affected account at the time of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// The name of the affected role at the time of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_name: Option<String>,
    /// The id of the API token that authorized the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_token_id: Option<String>,
    /// The name of that API token, or of the one that was created or revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_token_name: Option<String>,
    /// The email that the client gave, whether or not it has an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The changed personal data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ValueChange>,
}

/// The change of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueChange {
    /// The name of the field, as in `audit_events.changes`.
    pub field: String,
    /// The value before the change.
    pub before: Option<String>,
    /// The value after the change.
    pub after: Option<String>,
}

impl Details {
    /// Returns the stored form. `None` if there are no values.
    pub(super) fn content(&self) -> Option<String> {
        let is_empty = *self == Self::default();
        (!is_empty).then(|| serde_json::json!(self).to_string())
    }
}

/// Stores the details of an event.
pub(super) async fn insert(
    db: &impl ConnectionTrait,
    seq: i64,
    content: String,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        seq: Set(seq),
        content: Set(content),
    };
    // Details that an intruder left behind must not stop the log.
    let replace = OnConflict::column(Column::Seq)
        .update_column(Column::Content)
        .to_owned();
    let insert = Entity::insert(row).on_conflict(replace);
    insert.exec_without_returning(db).await?;
    Ok(())
}

/// Returns whether the stored details of an event are the recorded ones. Erased details are valid.
pub(super) fn is_valid(key: &AuditKey, event: &super::Model, content: Option<&String>) -> bool {
    match (content, &event.details_hash) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(content), Some(hash)) => equal(
            key.details_hash(event.seq, content).as_bytes(),
            hash.as_bytes(),
        ),
    }
}

/// Reads the stored details of some events.
pub(super) async fn read(
    db: &impl ConnectionTrait,
    range: std::ops::RangeInclusive<i64>,
) -> Result<HashMap<i64, String>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Seq.between(*range.start(), *range.end()))
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (row.seq, row.content)).collect())
}

/// Returns the number of details that belong to no event of a chain of `end` events, if there are any.
pub(super) async fn find_outside(
    db: &impl ConnectionTrait,
    end: i64,
) -> Result<Option<i64>, DbErr> {
    let outside = Column::Seq.lt(1).or(Column::Seq.gt(end));
    let row = Entity::find().filter(outside).one(db).await?;
    Ok(row.map(|row| row.seq))
}

/// Loads the details of events, by sequence number, and sets the client IPs of the events. Leaves out erased and altered details.
pub async fn load_details(
    db: &impl ConnectionTrait,
    key: &AuditKey,
    events: &mut [super::Model],
) -> Result<HashMap<i64, Details>, DbErr> {
    let with_details = events
        .iter_mut()
        .filter(|event| event.details_hash.is_some());
    let mut with_details: HashMap<_, _> = with_details.map(|event| (event.seq, event)).collect();
    if with_details.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = Entity::find()
        .filter(Column::Seq.is_in(with_details.keys().copied()))
        .all(db)
        .await?;
    let parse = |row: Model| {
        let event = with_details.get_mut(&row.seq)?;
        let details: Option<Details> = is_valid(key, event, Some(&row.content))
            .then(|| serde_json::from_str(&row.content).ok())
            .flatten();
        let Some(mut details) = details else {
            tracing::error!(
                audit.seq = row.seq,
                "The details of an audit event were altered"
            );
            return None;
        };
        if let Some(client_ip) = details.client_ip.take() {
            event.client_ip = Some(client_ip);
        }
        (details != Details::default()).then_some((row.seq, details))
    };
    Ok(rows.into_iter().filter_map(parse).collect())
}

/// Returns the names that deleted accounts had at their deletion, by their ids. Leaves out erased names.
pub async fn names_of_deleted(
    db: &impl ConnectionTrait,
    key: &AuditKey,
    ids: &[i64],
) -> Result<HashMap<i64, String>, DbErr> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut deletions = super::Entity::find()
        .filter(super::Column::UserId.is_in(ids.iter().copied()))
        .filter(super::Column::Event.eq(EventKind::Admin.as_str()))
        .filter(super::Column::Detail.eq("deleted"))
        .all(db)
        .await?;
    let mut details = load_details(db, key, &mut deletions).await?;
    let name = |event: &super::Model| {
        let name = details.remove(&event.seq)?.account_name?;
        Some((event.user_id?, name))
    };
    Ok(deletions.iter().filter_map(name).collect())
}

/// Erases the details of all events about an account, by an account, and about its email, whose fingerprint is `subject`.
pub async fn erase_details_about(
    db: &impl ConnectionTrait,
    user_id: i64,
    subject: &str,
) -> Result<(), DbErr> {
    use super::Column as EventColumn;
    let subject: String = subject.chars().take(SUBJECT_LENGTH).collect();
    // Separate statements, because each has its own index.
    for which in [
        EventColumn::UserId.eq(user_id),
        EventColumn::Actor.eq(format!("user {user_id}")),
        // Not the events of another account that had the email before.
        EventColumn::Subject
            .eq(subject)
            .and(EventColumn::UserId.is_null()),
    ] {
        let events = super::Entity::find()
            .select_only()
            .column(EventColumn::Seq)
            .filter(which)
            .filter(EventColumn::DetailsHash.is_not_null())
            .into_query();
        Entity::delete_many()
            .filter(Column::Seq.in_subquery(events))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// Erases the details of all events before a time. Returns their number.
pub async fn erase_details_before(
    db: &impl ConnectionTrait,
    time: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let end = lists::find_seq_at(db, time).await?;
    let old = Entity::find().filter(Column::Seq.lt(end));
    database::delete_in_parts(db, old, Column::Seq).await
}
