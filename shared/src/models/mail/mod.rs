//! The outbox's rows: a mail is a row before it is a job, and the row is the truth about it.
//!
//! No code, token or text is in a row: it names the kind of mail and what it refers to, and the worker writes the text
//! when it sends. `outbox` makes rows and wakes the worker; this file is what can be asked of them and done to them.

pub mod delivery_health;

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    Condition, DbBackend, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    database::{self, find_unique},
    models::password_reset::{self, Purpose},
    types::email::{Email, EmailKey},
};

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mails")]
pub struct Model {
    /// A UUID v7; what travels through the queue.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// A [`MailKind`] as text, so that a row of an unknown kind fails alone and not every query that meets it.
    pub kind: String,
    /// The address, as text for the same reason. Of a code's mail it is the mailbox's key until the worker has found the
    /// account, and then the account's stored address.
    pub recipient: String,
    /// The key of that address, by which lists find it.
    pub recipient_key: EmailKey,
    /// The reset whose code it carries.
    pub reset_id: Option<Uuid>,
    /// The account it speaks of.
    pub user_id: Option<i64>,
    /// The language of its text, as an RFC 5646 tag.
    pub locale: String,
    /// When its cause was accepted.
    pub created_at: DateTime<Utc>,
    /// After this it is not worth sending any more.
    pub deliver_before: DateTime<Utc>,
    /// How far it has come.
    pub state: MailState,
    /// How often it was tried.
    pub attempts: i32,
    /// Not to be tried before this.
    pub next_attempt_at: DateTime<Utc>,
    /// When its id was last put into the queue.
    pub pushed_at: Option<DateTime<Utc>>,
    /// The delivery that works on it.
    pub claimed_by: Option<Uuid>,
    /// When that claim ends, unless it is renewed.
    pub claimed_until: Option<DateTime<Utc>>,
    /// Why the last try failed, 500 characters at most.
    pub last_error: Option<String>,
    /// What made the last attempt to send it fail: a [`DeliveryFailure`](crate::models::mail::delivery_health::DeliveryFailure) as text.
    /// `None` once it is sent, and where no attempt reached the server.
    pub failure: Option<String>,
    /// When that attempt failed.
    pub failed_at: Option<DateTime<Utc>>,
    /// When SMTP accepted it.
    pub sent_at: Option<DateTime<Utc>>,
    /// Its Message-ID without the angle brackets; the same at every try.
    pub message_id: String,
    /// The request that caused it.
    pub request_id: String,
    /// Whether it goes before others: see [`Priority`].
    pub urgent: bool,
    /// The span that caused it, as a `traceparent` (W3C Trace Context), where traces are collected.
    pub trace: Option<String>,
    /// The client network whose request caused it, where budgets count it.
    pub client_network: Option<String>,
    /// Whether an operator wants it sent whatever the budget of its mailbox.
    pub beyond_budget: bool,
    /// Whether the account had proved the recipient's address when the mail was caused, as far as that was known then: the
    /// account of a code is not.
    pub recipient_verified: bool,
}

impl Model {
    /// Which queue it goes through.
    #[must_use]
    pub fn priority(&self) -> Priority {
        if self.urgent {
            Priority::High
        } else {
            Priority::Normal
        }
    }
}

/// How urgent a mail is. Each priority has a queue of its own, and what is normal never takes all of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Somebody sits and waits for it: one-time codes.
    High,
    /// Notices, of which an administrator may cause thousands at once.
    Normal,
}

impl Priority {
    /// All of them, the highest first.
    pub const ALL: [Self; 2] = [Self::High, Self::Normal];

    /// Its name among the figures.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
        }
    }
}

/// How far a mail has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum MailState {
    /// Waiting, or being sent.
    #[sea_orm(string_value = "queued")]
    Queued,
    /// Accepted by SMTP.
    #[sea_orm(string_value = "sent")]
    Sent,
    /// Refused for good.
    #[sea_orm(string_value = "failed")]
    Failed,
    /// Not sent before it lost its worth.
    #[sea_orm(string_value = "expired")]
    Expired,
    /// Ended without sending: there is nobody to send it to, or an operator said so.
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
    /// Not sent, because its mailbox has had as many mails of its kind as its budget allows.
    #[sea_orm(string_value = "suppressed")]
    Suppressed,
}

impl FromStr for MailState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::try_from_value(&text.to_owned())
            .map_err(|_| "one of queued, sent, failed, expired, cancelled, suppressed".to_owned())
    }
}

impl fmt::Display for MailState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_value())
    }
}

/// What a mail says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailKind {
    /// The one-time code of a password reset.
    ResetCode,
    /// The password was changed.
    PasswordChanged,
    /// The account was made and waits for activation.
    Welcome,
    /// The account was activated.
    Activated,
    /// A refresh token was used again after its successor, so its session was ended.
    TokenReplayed,
    /// Somebody tried to register with the address of an account.
    AddressTaken,
    /// An administrator asks the owner to set a new password.
    ResetAsked,
    /// The address was changed; it goes to the one of before.
    EmailChanged,
    /// The one-time code by which an owner lets the account in.
    ActivationCode,
}

impl MailKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::ResetCode,
        Self::PasswordChanged,
        Self::Welcome,
        Self::Activated,
        Self::TokenReplayed,
        Self::AddressTaken,
        Self::ResetAsked,
        Self::EmailChanged,
        Self::ActivationCode,
    ];

    /// Its name in the row.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResetCode => "reset_code",
            Self::PasswordChanged => "password_changed",
            Self::Welcome => "welcome",
            Self::Activated => "activated",
            Self::TokenReplayed => "token_replayed",
            Self::AddressTaken => "address_taken",
            Self::ResetAsked => "reset_asked",
            Self::EmailChanged => "email_changed",
            Self::ActivationCode => "activation_code",
        }
    }

    /// What the code opens that it carries, if it does. Such a mail names a request and no account: whose that is the worker
    /// finds.
    #[must_use]
    pub fn purpose(self) -> Option<Purpose> {
        match self {
            Self::ResetCode => Some(Purpose::Reset),
            Self::ActivationCode => Some(Purpose::Activation),
            _ => None,
        }
    }

    /// By what the budget of a mailbox tells causes of this kind of mail apart. Kinds that anyone can cause for any address
    /// count by client network, so that a stranger uses up only a stranger's share. What happens to an account counts by
    /// account.
    #[must_use]
    pub fn budget_cause(self) -> BudgetCause {
        match self {
            Self::ResetCode
            | Self::ActivationCode
            | Self::Welcome
            | Self::Activated
            | Self::AddressTaken => BudgetCause::ClientNetwork,
            Self::PasswordChanged | Self::TokenReplayed | Self::ResetAsked | Self::EmailChanged => {
                BudgetCause::Account
            }
        }
    }

    /// How urgent mails of this kind are.
    #[must_use]
    pub fn priority(self) -> Priority {
        match self {
            Self::ResetCode | Self::ActivationCode => Priority::High,
            Self::PasswordChanged
            | Self::Welcome
            | Self::Activated
            | Self::TokenReplayed
            | Self::AddressTaken
            | Self::ResetAsked
            | Self::EmailChanged => Priority::Normal,
        }
    }
}

impl FromStr for MailKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("unknown kind of mail: {text:?}"))
    }
}

/// What counts as one cause in the budget of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetCause {
    /// The network of the client whose request it was.
    ClientNetwork,
    /// The account that the mail is about.
    Account,
}

/// No relations: a mail outlives the account and the reset it speaks of.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Stores a mail.
pub async fn insert(db: &impl ConnectionTrait, mail: Model) -> Result<(), DbErr> {
    use sea_orm::IntoActiveModel as _;
    let row = mail.into_active_model().reset_all();
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Claims mails for one delivery each: a mail has to be queued, due, and claimed by nobody else. One UPDATE decides; what
/// is not returned is nothing to be done for.
pub async fn claim(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    claimant: Uuid,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<Vec<Model>, DbErr> {
    let these = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)))
        .filter(is_due(now));
    Entity::update_many()
        .col_expr(Column::ClaimedBy, Expr::value(claimant))
        .col_expr(Column::ClaimedUntil, Expr::value(now + lease))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .filter(Column::Id.in_subquery(database::skip_locked(these, db)))
        .exec_with_returning(db)
        .await
}

/// Prolongs claims while their deliveries go on. A row that somebody else is changing just now is left out.
pub async fn renew_claims(
    db: &impl ConnectionTrait,
    claims: &[(Uuid, Uuid)],
    until: DateTime<Utc>,
) -> Result<(), DbErr> {
    let (ids, claimants): (Vec<_>, Vec<_>) = claims.iter().copied().unzip();
    let these = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(database::pad_to_power_of_two(&ids)))
        .filter(Column::ClaimedBy.is_in(database::pad_to_power_of_two(&claimants)));
    Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(until))
        .filter(Column::Id.in_subquery(database::skip_locked(these, db)))
        .exec(db)
        .await?;
    Ok(())
}

/// Prolongs a claim, if nobody else has the mail by now; whether it did.
pub async fn extend_claim(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    until: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let extended = Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(until))
        .filter(Column::Id.eq(id))
        .filter(Column::ClaimedBy.eq(claimant))
        .filter(Column::State.eq(MailState::Queued))
        .exec(db)
        .await?;
    Ok(extended.rows_affected == 1)
}

/// Writes down which address a claimed mail goes to.
pub async fn set_recipient(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    recipient: &Email,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Recipient, Expr::value(recipient.as_str()))
        .col_expr(Column::RecipientKey, Expr::value(recipient.key()))
        .filter(Column::Id.eq(id))
        .filter(Column::ClaimedBy.eq(claimant))
        .exec(db)
        .await?;
    Ok(())
}

/// Gives a claimed mail back as if it had never been claimed.
pub async fn release_claim(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).sub(1))
        .col_expr(Column::PushedAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::ClaimedBy, Expr::value(None::<Uuid>))
        .col_expr(Column::ClaimedUntil, Expr::value(None::<DateTime<Utc>>))
        .filter(Column::Id.eq(id))
        .filter(Column::ClaimedBy.eq(claimant))
        .exec(db)
        .await?;
    Ok(())
}

/// Ends mails as sent. Whoever sent them says so, even when a claim had run out meanwhile.
pub async fn mark_sent(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::State, Expr::value(MailState::Sent))
        .col_expr(Column::SentAt, Expr::value(now))
        .col_expr(Column::LastError, Expr::value(None::<String>))
        .col_expr(Column::Failure, Expr::value(None::<String>))
        .col_expr(Column::FailedAt, Expr::value(None::<DateTime<Utc>>))
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)))
        .exec(db)
        .await?;
    Ok(())
}

/// Ends a claimed mail without sending, with the reason. What expired was tried and put off before, or was not: that
/// reason is kept, too.
pub async fn end(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    state: MailState,
    reason: &str,
) -> Result<(), DbErr> {
    let reason = Expr::value(shorten(reason));
    let reason = match state {
        MailState::Expired => {
            let given = match db.get_database_backend() {
                DbBackend::Postgres => "$1",
                _ => "?",
            };
            let both =
                format!("substr({given} || coalesce('; before that: ' || last_error, ''), 1, 500)");
            Expr::cust_with_expr(both, reason)
        }
        _ => reason,
    };
    Entity::update_many()
        .col_expr(Column::State, Expr::value(state))
        .col_expr(Column::LastError, reason)
        .filter(Column::Id.eq(id))
        .filter(Column::ClaimedBy.eq(claimant))
        .exec(db)
        .await?;
    Ok(())
}

/// Puts a claimed mail off to a later try, with the reason.
pub async fn reschedule(
    db: &impl ConnectionTrait,
    id: Uuid,
    claimant: Uuid,
    next_attempt_at: DateTime<Utc>,
    reason: &str,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::NextAttemptAt, Expr::value(next_attempt_at))
        .col_expr(Column::PushedAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::ClaimedBy, Expr::value(None::<Uuid>))
        .col_expr(Column::ClaimedUntil, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::LastError, Expr::value(shorten(reason)))
        .filter(Column::Id.eq(id))
        .filter(Column::ClaimedBy.eq(claimant))
        .exec(db)
        .await?;
    Ok(())
}

/// Takes up to `limit` due mails of one priority that were not pushed within `pushed_within`, oldest first, notes them
/// as pushed now and returns their ids. Two callers at once never get the same mail.
pub async fn take_due(
    db: &impl ConnectionTrait,
    priority: Priority,
    now: DateTime<Utc>,
    pushed_within: TimeDelta,
    limit: u64,
) -> Result<Vec<Uuid>, DbErr> {
    let due = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Urgent.eq(priority == Priority::High))
        .filter(is_due(now))
        .filter(
            Column::PushedAt
                .is_null()
                .or(Column::PushedAt.lte(now - pushed_within)),
        )
        .order_by_asc(Column::NextAttemptAt)
        .limit(limit);
    let taken = Entity::update_many()
        .col_expr(Column::PushedAt, Expr::value(now))
        .filter(Column::Id.in_subquery(database::skip_locked(due, db)))
        .exec_with_returning(db)
        .await?;
    Ok(taken.into_iter().map(|mail| mail.id).collect())
}

/// Which mails to list; what is `None` excludes none.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// How far they have come.
    pub state: Option<MailState>,
    /// What they say.
    pub kind: Option<MailKind>,
    /// To which mailbox.
    pub recipient: Option<EmailKey>,
    /// Not made before this.
    pub since: Option<DateTime<Utc>>,
    /// Made before this time.
    pub until: Option<DateTime<Utc>>,
    /// Made before this one.
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

/// The newest mails that a filter lets through.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: impl Into<Filter>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let Filter {
        state,
        kind,
        recipient,
        since,
        until,
        before,
    } = filter.into();
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
        // Ids rise with the time.
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// The newest mails about an account, whatever its address was then, and to its address, but for those about others.
pub async fn list_about(
    db: &impl ConnectionTrait,
    user: &crate::models::user::Model,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let resets = password_reset::list(db, None, Some(user.id), None, limit).await?;
    let (ids, keys): (Vec<_>, Vec<_>) = resets
        .into_iter()
        .map(|reset| (reset.id, reset.email_key))
        .unzip();
    // Apart, as each has an index of its own.
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
        // A code's mail names its reset alone, which knows the address of then. One to each: no order for SQLite to follow.
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

/// The mail with this id.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    find_unique(Entity::find_by_id(id), db).await
}

/// Ends a mail that waits, by an operator's word; false when it does not wait, or is being sent just now.
pub async fn cancel(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let cancelled = Entity::update_many()
        .col_expr(Column::State, Expr::value(MailState::Cancelled))
        .col_expr(Column::LastError, Expr::value("cancelled by an operator"))
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(MailState::Queued))
        .filter(
            Column::ClaimedUntil
                .is_null()
                .or(Column::ClaimedUntil.lte(now)),
        )
        .exec(db)
        .await?;
    Ok(cancelled.rows_affected == 1)
}

/// How many mails of each kind and state there are: all that wait, and of those that ended the ones made since
/// `recent`. The long history is not read.
pub async fn count_waiting_and_recent(
    db: &impl ConnectionTrait,
    recent: DateTime<Utc>,
) -> Result<Vec<(String, String, i64)>, DbErr> {
    let waiting = Column::State.eq(MailState::Queued);
    let ended = Condition::all()
        .add(Column::State.ne(MailState::Queued))
        .add(Column::CreatedAt.gte(recent));
    let mut counts = Vec::new();
    // Apart, as each has an index of its own.
    for which in [Condition::all().add(waiting), ended] {
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

/// How many mails need somebody's attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProblemCounts {
    /// Refused for good.
    pub failed: u64,
    /// Not sent before they lost their worth.
    pub expired: u64,
    /// Waiting for long.
    pub late: u64,
}

/// How many mails need somebody's attention, each number up to `most`: those that failed or expired of the ones made since
/// `recent`, and those that wait since before `late`.
pub async fn count_troubled(
    db: &impl ConnectionTrait,
    recent: DateTime<Utc>,
    late: DateTime<Utc>,
    most: u64,
) -> Result<ProblemCounts, DbErr> {
    use sea_orm::PaginatorTrait as _;
    let of = |state: MailState| Entity::find().filter(Column::State.eq(state)).limit(most);
    let ended = |state| of(state).filter(Column::CreatedAt.gte(recent));
    let late = of(MailState::Queued).filter(Column::CreatedAt.lt(late));
    Ok(ProblemCounts {
        failed: ended(MailState::Failed).count(db).await?,
        expired: ended(MailState::Expired).count(db).await?,
        late: late.count(db).await?,
    })
}

/// The newest `of` sent mails that were made since `recent`. A mail that waited for long may have been accepted after one that
/// was made later.
pub async fn last_sent(
    db: &impl ConnectionTrait,
    recent: DateTime<Utc>,
    of: u64,
) -> Result<Vec<Model>, DbErr> {
    let sent = Filter {
        state: Some(MailState::Sent),
        since: Some(recent),
        ..Filter::default()
    };
    list(db, sent, of).await
}

/// Counts the mails of the same kind to the same account that were made since a time and before this one. Suppressed mails do
/// not count.
pub async fn count_earlier(
    db: &impl ConnectionTrait,
    mail: &Model,
    user_id: i64,
    since: DateTime<Utc>,
) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Id.lt(mail.id))
        .filter(Column::Kind.eq(mail.kind.as_str()))
        .filter(Column::CreatedAt.gt(since))
        .filter(Column::State.ne(MailState::Suppressed))
        .count(db)
        .await
}

/// When the oldest mail that waits was made.
pub async fn oldest_waiting(db: &impl ConnectionTrait) -> Result<Option<DateTime<Utc>>, DbErr> {
    let oldest = Entity::find()
        .filter(Column::State.eq(MailState::Queued))
        .order_by_asc(Column::CreatedAt)
        .one(db)
        .await?;
    Ok(oldest.map(|mail| mail.created_at))
}

/// Queues a mail anew that was not sent, due at once and whatever the budget of its mailbox; false when there is no such mail, or it is being sent just now. A
/// notice that lost its worth meanwhile has it for another day.
pub async fn retry(db: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let another = now + TimeDelta::days(1);
    let retried = Entity::update_many()
        .col_expr(Column::State, Expr::value(MailState::Queued))
        .col_expr(Column::BeyondBudget, Expr::value(true))
        .col_expr(Column::NextAttemptAt, Expr::value(now))
        .col_expr(
            Column::DeliverBefore,
            Expr::case(
                Condition::all()
                    .add(Column::ResetId.is_null())
                    .add(Column::DeliverBefore.lt(another)),
                Expr::value(another),
            )
            .finally(Expr::col(Column::DeliverBefore))
            .into(),
        )
        .col_expr(Column::PushedAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(Column::ClaimedBy, Expr::value(None::<Uuid>))
        .col_expr(Column::ClaimedUntil, Expr::value(None::<DateTime<Utc>>))
        // Why it ended before says nothing of how it fares now.
        .col_expr(Column::LastError, Expr::value(None::<String>))
        .col_expr(Column::Failure, Expr::value(None::<String>))
        .col_expr(Column::FailedAt, Expr::value(None::<DateTime<Utc>>))
        .filter(Column::Id.eq(id))
        .filter(Column::State.ne(MailState::Sent))
        .filter(
            Column::State.ne(MailState::Queued).or(Column::ClaimedUntil
                .is_null()
                .or(Column::ClaimedUntil.lte(now))),
        )
        .exec(db)
        .await?;
    Ok(retried.rows_affected == 1)
}

/// Removes mails that ended before `cutoff`; returns how many. Waiting ones stay, however old.
pub async fn delete_ended_before(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let ended = Entity::find()
        .filter(Column::CreatedAt.lt(cutoff))
        .filter(Column::State.ne(MailState::Queued));
    database::delete_in_parts(db, ended, Column::Id).await
}

fn is_due(now: DateTime<Utc>) -> Condition {
    Condition::all()
        .add(Column::State.eq(MailState::Queued))
        .add(Column::NextAttemptAt.lte(now))
        .add(
            Column::ClaimedUntil
                .is_null()
                .or(Column::ClaimedUntil.lte(now)),
        )
}

pub(crate) fn shorten(reason: &str) -> String {
    reason
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(500)
        .collect()
}

/// The columns of a new row that are the same for every mail.
pub(crate) fn new_row(id: Uuid, kind: MailKind, recipient: &Email, now: DateTime<Utc>) -> Model {
    Model {
        id,
        kind: kind.as_str().to_owned(),
        recipient: recipient.to_string(),
        recipient_key: recipient.key(),
        reset_id: None,
        user_id: None,
        locale: "en".to_owned(),
        created_at: now,
        deliver_before: now,
        state: MailState::Queued,
        attempts: 0,
        next_attempt_at: now,
        // Whoever writes the row pushes it next; the relay steps in when that did not happen.
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
        client_network: None,
        beyond_budget: false,
        recipient_verified: false,
    }
}
