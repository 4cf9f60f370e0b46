//! Lists and counts of events.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sea_orm::{
    Condition, DbBackend, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::models::audit::{
    AuditKey, Column, Entity, EventKind, Model, SUBJECT_LENGTH, load_details,
};

/// The maximum difference between the clocks of replicas. With a larger one, filters by time may miss events.
const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// Maximum number of events in which an email is looked up by its fingerprint. Not all of them name it.
const MAX_EVENTS_OF_SUBJECT: u64 = 100;

/// A filter for lists of events. `None` does not filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The account that the event is about, or that caused it.
    pub user_id: Option<i64>,
    /// The actor as [`Model::actor`] stores it.
    pub actor: Option<String>,
    /// The name of the kind.
    pub event: Option<String>,
    /// The earliest time.
    pub since: Option<DateTime<Utc>>,
    /// The end of the time, exclusive.
    pub until: Option<DateTime<Utc>>,
    /// The cursor: only events before this sequence number.
    pub before: Option<i64>,
}

/// Returns the newest events that match a filter, the newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: Filter,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let Filter {
        user_id,
        actor,
        event,
        since,
        until,
        before,
    } = filter;
    let (mut first, mut end) = (None, None);
    if let Some(since) = since {
        first = Some(find_seq_at(db, since - MAX_CLOCK_SKEW).await?);
    }
    if let Some(until) = until {
        end = Some(find_seq_at(db, until + MAX_CLOCK_SKEW).await?);
    }
    Entity::find()
        .apply_if(user_id, |query, id| {
            query.filter(
                Condition::any()
                    .add(Column::UserId.eq(id))
                    .add(Column::Actor.eq(format!("user {id}"))),
            )
        })
        .apply_if(actor, |query, actor| query.filter(Column::Actor.eq(actor)))
        .apply_if(before, |query, seq| query.filter(Column::Seq.lt(seq)))
        .apply_if(event, |query, event| query.filter(Column::Event.eq(event)))
        .apply_if(since, |query, since| query.filter(Column::At.gte(since)))
        .apply_if(until, |query, until| query.filter(Column::At.lt(until)))
        .apply_if(first, |query, seq| query.filter(Column::Seq.gte(seq)))
        .apply_if(end, |query, seq| query.filter(Column::Seq.lt(seq)))
        .order_by_desc(Column::Seq)
        .limit(limit)
        .all(db)
        .await
}

/// Returns about where the events of a time begin: the sequence number of an event, or the end of the chain.
///
/// This is a binary search, which needs no index by time: sequence numbers have no gaps, and times rise with them except for
/// clock skew.
pub(super) async fn find_seq_at(
    db: &impl ConnectionTrait,
    time: DateTime<Utc>,
) -> Result<i64, DbErr> {
    let newest = Entity::find().order_by_desc(Column::Seq).one(db).await?;
    let (mut low, mut high) = (1, newest.map_or(1, |event| event.seq + 1));
    while low < high {
        let middle = low + (high - low) / 2;
        let event = Entity::find_by_id(middle).one(db).await?;
        if event.is_some_and(|event| event.at < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Returns the newest events about an account, the newest first.
pub async fn list_by_user(
    db: &impl ConnectionTrait,
    user_id: i64,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .order_by_desc(Column::Seq)
        .limit(limit)
        .all(db)
        .await
}

/// Events that concern an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConcerningEvents {
    /// About the account, caused by its owner or by a client that was not authenticated.
    ByOwnerOrAnonymous,
    /// About the account, caused by staff or an operator.
    ByStaff,
    /// Caused by the owner, but not about the account: actions of staff.
    AboutOthers,
}

/// Returns events that concern an account, with numbers after `after`, the oldest first.
pub async fn list_concerning(
    db: &impl ConnectionTrait,
    user_id: i64,
    which: ConcerningEvents,
    after: i64,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let own = format!("user {user_id}");
    let by_owner_or_anonymous = Column::Actor.is_in([own.as_str(), "anonymous"]);
    let about = Condition::all().add(Column::UserId.eq(user_id));
    let which = match which {
        ConcerningEvents::ByOwnerOrAnonymous => about.add(by_owner_or_anonymous),
        ConcerningEvents::ByStaff => about.add(by_owner_or_anonymous.not()),
        ConcerningEvents::AboutOthers => {
            let others = Column::UserId.is_null().or(Column::UserId.ne(user_id));
            Condition::all().add(Column::Actor.eq(own)).add(others)
        }
    };
    Entity::find()
        .filter(which)
        .filter(Column::Seq.gt(after))
        .order_by_asc(Column::Seq)
        .limit(limit)
        .all(db)
        .await
}

/// Returns the account whose events have an email's fingerprint.
pub async fn find_user_by_subject(
    db: &impl ConnectionTrait,
    fingerprint: &str,
) -> Result<Option<i64>, DbErr> {
    let subject: String = fingerprint.chars().take(SUBJECT_LENGTH).collect();
    let found = Entity::find()
        .filter(Column::Subject.eq(subject))
        .filter(Column::UserId.is_not_null())
        .order_by_desc(Column::Seq)
        .one(db)
        .await?;
    Ok(found.and_then(|event| event.user_id))
}

/// Returns the email that clients gave in the newest events with its fingerprint, unless it was erased.
pub async fn find_email_by_subject(
    db: &impl ConnectionTrait,
    key: &AuditKey,
    fingerprint: &str,
) -> Result<Option<String>, DbErr> {
    let subject: String = fingerprint.chars().take(SUBJECT_LENGTH).collect();
    let mut events = Entity::find()
        .filter(Column::Subject.eq(subject))
        .filter(Column::DetailsHash.is_not_null())
        .order_by_desc(Column::Seq)
        .limit(MAX_EVENTS_OF_SUBJECT)
        .all(db)
        .await?;
    let details = load_details(db, key, &mut events).await?;
    Ok(details.into_values().find_map(|details| details.email))
}

/// Counts the events of some kinds since a time, by kind and day (UTC). Days without events are left out.
pub async fn count_by_day(
    db: &impl ConnectionTrait,
    kinds: &[EventKind],
    since: DateTime<Utc>,
) -> Result<Vec<((&'static str, NaiveDate), u64)>, DbErr> {
    let names = || kinds.iter().map(|kind| kind.as_str());
    let day = match db.get_database_backend() {
        DbBackend::Postgres => "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        // SQLite stores times as text in UTC (RFC 3339).
        _ => "substr(at, 1, 10)",
    };
    let rows: Vec<(String, String, i64)> = Entity::find()
        .select_only()
        .column(Column::Event)
        .expr_as(Expr::cust(day), "day")
        .expr_as(Expr::cust("count(*)"), "events")
        .filter(Column::Event.is_in(names()))
        .filter(Column::At.gte(since))
        .group_by(Column::Event)
        .group_by(Expr::cust(day))
        .into_tuple()
        .all(db)
        .await?;
    let read = |(event, day, count): (String, String, i64)| {
        let kind = names().find(|name| *name == event)?;
        Some(((kind, day.parse().ok()?), count.unsigned_abs()))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
