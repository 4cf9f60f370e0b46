//! Lists and counts of mails, for operators and metrics.

use chrono::{DateTime, Utc};
use sea_orm::{
    Condition, PaginatorTrait as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*, sea_query::ExprTrait as _,
};

use crate::{
    models::{
        mail::{Column, Entity, MailKind, MailState, Model},
        password_reset, user,
    },
    types::email::EmailKey,
};

/// A filter for lists of mails. `None` does not filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The state of the delivery.
    pub state: Option<MailState>,
    /// The kind of mail.
    pub kind: Option<MailKind>,
    /// The mailbox.
    pub recipient: Option<EmailKey>,
    /// The earliest time of creation.
    pub since: Option<DateTime<Utc>>,
    /// The end of the time of creation, exclusive.
    pub until: Option<DateTime<Utc>>,
    /// The cursor: only mails created before this one.
    pub before: Option<Uuid>,
}

impl From<Option<MailState>> for Filter {
    fn from(state: Option<MailState>) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }
}

/// Returns the newest mails that match a filter.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: impl Into<Filter>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    newest(filter.into(), limit).all(db).await
}

/// Returns the newest failed mails that match a filter and can be sent again: a mail with a one-time code must not have expired.
pub async fn list_retryable(
    db: &impl ConnectionTrait,
    filter: Filter,
    now: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let filter = Filter {
        state: Some(MailState::Failed),
        ..filter
    };
    let is_valid = Condition::any()
        .add(Column::ResetId.is_null())
        .add(Column::DeliverBefore.gt(now));
    newest(filter, limit).filter(is_valid).all(db).await
}

fn newest(filter: Filter, limit: u64) -> Select<Entity> {
    let Filter {
        state,
        kind,
        recipient,
        since,
        until,
        before,
    } = filter;
    Entity::find()
        .apply_if(state, |query, state| query.filter(Column::State.eq(state)))
        .apply_if(kind, |query, kind| {
            query.filter(Column::Kind.eq(kind.as_str()))
        })
        .apply_if(recipient, |query, recipient| {
            query.filter(Column::RecipientKey.eq(recipient))
        })
        .apply_if(since, |query, since| {
            query.filter(Column::CreatedAt.gte(since))
        })
        .apply_if(until, |query, until| {
            query.filter(Column::CreatedAt.lt(until))
        })
        .apply_if(before, |query, id| query.filter(Column::Id.lt(id)))
        // UUIDs v7 are ordered by time.
        .order_by_desc(Column::Id)
        .limit(limit)
}

/// Returns the newest mails about an account and to its address, except mails to the address about other accounts.
pub async fn list_about(
    db: &impl ConnectionTrait,
    user: &user::Model,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let resets = password_reset::list(db, None, Some(user.id), None, limit).await?;
    let (ids, keys): (Vec<_>, Vec<_>) = resets
        .into_iter()
        .map(|reset| (reset.id, reset.email_key))
        .unzip();
    // Separate statements, because each has its own index.
    let newest = |which: Condition| {
        Entity::find()
            .filter(which)
            .order_by_desc(Column::Id)
            .limit(limit)
    };
    let of_user = newest(Condition::all().add(Column::UserId.eq(user.id)));
    let to_address = newest(
        Condition::all()
            .add(Column::RecipientKey.eq(user.email_key.clone()))
            .add(Column::UserId.is_null()),
    );
    let mut mails = of_user.all(db).await?;
    mails.extend(to_address.all(db).await?);
    if !ids.is_empty() {
        // A mail with a one-time code names only its reset, which has the address of that time. Without an order, so that
        // SQLite does not choose the index of the order.
        let codes = Entity::find()
            .filter(Column::RecipientKey.is_in(keys))
            .filter(Column::ResetId.is_in(ids));
        mails.extend(codes.all(db).await?);
    }
    mails.sort_unstable_by_key(|mail| std::cmp::Reverse(mail.id));
    mails.dedup_by_key(|mail| mail.id);
    mails.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(mails)
}

/// Mails that concern an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConcerningMails {
    /// About the account.
    AboutAccount,
    /// With one-time codes to its confirmed or registered address.
    ToAddress,
    /// With one-time codes of its requests to other addresses. A request is stored for a day, so there are few.
    ToOtherAddresses,
}

impl ConcerningMails {
    /// All of them. A mail is in one only.
    pub const ALL: [Self; 3] = [Self::AboutAccount, Self::ToAddress, Self::ToOtherAddresses];

    /// Separate conditions, because each has its own index.
    pub(super) fn condition(self, user: &user::Model, now: DateTime<Utc>) -> Condition {
        let to_address = Column::RecipientKey.eq(user.reset_email(now).key());
        let of_requests = |column: password_reset::Column| {
            let requests = password_reset::Entity::find().select_only().column(column);
            let requests = requests.filter(password_reset::Column::UserId.eq(user.id));
            requests.into_query()
        };
        match self {
            Self::AboutAccount => Condition::all().add(Column::UserId.eq(user.id)),
            Self::ToAddress => Condition::all()
                .add(to_address)
                .add(Column::UserId.is_null()),
            Self::ToOtherAddresses => Condition::all()
                .add(to_address.not())
                .add(
                    Column::RecipientKey.in_subquery(of_requests(password_reset::Column::EmailKey)),
                )
                .add(Column::ResetId.in_subquery(of_requests(password_reset::Column::Id))),
        }
    }
}

/// Returns mails that concern an account, with ids after `after`, the oldest first. Omits mails to its address before it had that
/// address, which concern an earlier owner, and codes for emails that it has not confirmed, whose delivery would show which emails have
/// accounts.
pub async fn list_concerning(
    db: &impl ConnectionTrait,
    user: &user::Model,
    which: ConcerningMails,
    after: Uuid,
    limit: u64,
    now: DateTime<Utc>,
) -> Result<Vec<Model>, DbErr> {
    let key = user.reset_email(now).key();
    let since = user.email_since(&key).unwrap_or(user.created_at);
    Entity::find()
        .filter(which.condition(user, now))
        .apply_if(
            (which == ConcerningMails::ToAddress).then_some(since),
            |query, since| query.filter(Column::CreatedAt.gte(since)),
        )
        .apply_if(
            (which == ConcerningMails::ToOtherAddresses).then_some(MailKind::EmailCode),
            |query, kind| query.filter(Column::Kind.ne(kind.as_str())),
        )
        .filter(Column::Id.gt(after))
        // UUIDs v7 are ordered by time.
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Counts mails by kind and state: all queued ones, and those of the other states that were created since `recent`. Does not
/// read older history.
pub async fn count_queued_and_recent(
    db: &impl ConnectionTrait,
    recent: DateTime<Utc>,
) -> Result<Vec<(String, String, i64)>, DbErr> {
    let queued = Column::State.eq(MailState::Queued);
    let ended = Condition::all()
        .add(Column::State.ne(MailState::Queued))
        .add(Column::CreatedAt.gte(recent));
    let mut counts = Vec::new();
    // Separate statements, because each has its own index.
    for which in [Condition::all().add(queued), ended] {
        let part: Vec<(String, String, i64)> = Entity::find()
            .select_only()
            .column(Column::Kind)
            .column(Column::State)
            .column_as(Column::Id.count(), "mails")
            .filter(which)
            .group_by(Column::Kind)
            .group_by(Column::State)
            .into_tuple()
            .all(db)
            .await?;
        counts.extend(part);
    }
    Ok(counts)
}

/// Numbers of mails that need an operator's attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProblemCounts {
    /// Permanently refused.
    pub failed: u64,
    /// Not sent before their deadlines.
    pub expired: u64,
    /// Queued for too long.
    pub late: u64,
}

/// Counts the mails that need an operator's attention, each number up to `max`: those created since `recent` that failed or
/// expired, and queued ones created before `late`.
pub async fn count_problems(
    db: &impl ConnectionTrait,
    recent: DateTime<Utc>,
    late: DateTime<Utc>,
    max: u64,
) -> Result<ProblemCounts, DbErr> {
    let of = |state: MailState| Entity::find().filter(Column::State.eq(state)).limit(max);
    let ended = |state| of(state).filter(Column::CreatedAt.gte(recent));
    let late = of(MailState::Queued).filter(Column::CreatedAt.lt(late));
    Ok(ProblemCounts {
        failed: ended(MailState::Failed).count(db).await?,
        expired: ended(MailState::Expired).count(db).await?,
        late: late.count(db).await?,
    })
}

/// Returns the `limit` newest sent mails created since `recent`. A deferred mail may have been sent later than a newer one.
pub async fn last_sent(
    db: &impl ConnectionTrait,
    recent: DateTime<Utc>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let sent = Filter {
        state: Some(MailState::Sent),
        since: Some(recent),
        ..Filter::default()
    };
    list(db, sent, limit).await
}

/// Returns the creation time of the oldest queued mail.
pub async fn oldest_queued(db: &impl ConnectionTrait) -> Result<Option<DateTime<Utc>>, DbErr> {
    let oldest = Entity::find()
        .filter(Column::State.eq(MailState::Queued))
        .order_by_asc(Column::CreatedAt)
        .one(db)
        .await?;
    Ok(oldest.map(|mail| mail.created_at))
}
