//! The audit log: who did what to which account, in a chain that shows when somebody has changed it afterwards.
//!
//! Each event's hash is a MAC, keyed by a key that is not in the database, over the event and the hash before it, and
//! the head holds the last of them with a seal of its own, from before the first event on ([`begin`]). So an event that
//! was altered, removed, added or moved is found, those at the end included, and so is a log that was emptied.
//!
//! The limit: whoever has kept an earlier head with its seal can put that back and remove the events after it, and these
//! two tables look whole. Nothing within a database can show that. The head noted elsewhere does: every API remembers
//! where it saw it and looks again ([`Watch`]), its log has it, and [`verify`] takes it. Besides, whoever has the key can
//! write whatever they like.
//!
//! Nothing here holds an e-mail address.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    Condition, IntoActiveModel as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
};

use crate::database::Transaction;

mod chain;
mod head;
mod watch;

use crate::models::audit::chain::TORN;

pub use crate::models::audit::chain::AuditKey;
pub use crate::models::audit::watch::Watch;

/// How many digits of an address's fingerprint are noted.
const SUBJECT: usize = 16;

/// How far the clocks of replicas may be apart, that an event is still found by its time.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// How many events [`verify`] reads at a time.
const BATCH: u64 = 5_000;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub struct Model {
    /// Its place in the chain, from 1 on without a gap.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// An [`EventKind`] as text.
    pub event: String,
    /// `success` or `failure`.
    pub outcome: String,
    /// Who did it: `user 7`, `operator` at the command line, or `anonymous`.
    pub actor: String,
    /// The account it was done to, where there is one.
    pub user_id: Option<i64>,
    /// The session it is about.
    pub session_id: Option<Uuid>,
    /// A fingerprint of the address that was given, whether or not somebody has it.
    pub subject: Option<String>,
    /// The client's address.
    pub client_ip: Option<String>,
    /// The request.
    pub request_id: String,
    /// What else there is to say, in a few fixed words.
    pub detail: Option<String>,
    /// What an administrator changed: `field: before → after`, a line each. Of what tells who somebody is (name, address,
    /// number, birthday) fingerprints.
    pub changes: Option<String>,
    /// The MAC over all of this and the hash before, in hex.
    pub hash: String,
}

/// No relations: an event outlives whom it is about.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What happened, in the words of OWASP's logging vocabulary; where that has none, in its style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A login worked.
    LoginSuccess,
    /// A login did not.
    LoginFail,
    /// A one-time code was right.
    CodeSuccess,
    /// A one-time code was wrong, or its request not open.
    CodeFail,
    /// A password was changed, or reset.
    PasswordChange,
    /// A password change was refused.
    PasswordChangeFail,
    /// Sessions were ended: a logout, or one ended by its owner.
    TokenRevoked,
    /// A refresh token was used again after its successor.
    TokenReuse,
    /// A token was given that opens nothing.
    TokenFail,
    /// A limit turned somebody away; noted once a minute for each client and limit.
    RateLimitExceeded,
    /// An account was made.
    UserCreated,
    /// An account was not made: somebody has the address.
    UserCreateFail,
    /// An account was changed in what decides who can get into it.
    UserUpdated,
    /// An administrator did something.
    Admin,
    /// Somebody asked for what they may not do; noted once a minute for each client.
    NotPermitted,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::LoginSuccess,
        Self::LoginFail,
        Self::CodeSuccess,
        Self::CodeFail,
        Self::PasswordChange,
        Self::PasswordChangeFail,
        Self::TokenRevoked,
        Self::TokenReuse,
        Self::TokenFail,
        Self::RateLimitExceeded,
        Self::UserCreated,
        Self::UserCreateFail,
        Self::UserUpdated,
        Self::Admin,
        Self::NotPermitted,
    ];

    /// Its name in the row.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LoginSuccess => "authn_login_success",
            Self::LoginFail => "authn_login_fail",
            Self::CodeSuccess => "authn_reset_code_success",
            Self::CodeFail => "authn_reset_code_fail",
            Self::PasswordChange => "authn_password_change",
            Self::PasswordChangeFail => "authn_password_change_fail",
            Self::TokenRevoked => "authn_token_revoked",
            Self::TokenReuse => "authn_token_reuse",
            Self::TokenFail => "authn_token_fail",
            Self::RateLimitExceeded => "excess_rate_limit_exceeded",
            Self::UserCreated => "user_created",
            Self::UserCreateFail => "user_create_fail",
            Self::UserUpdated => "user_updated",
            Self::Admin => "authz_admin",
            Self::NotPermitted => "authz_fail",
        }
    }

    fn outcome(self) -> &'static str {
        match self {
            Self::LoginFail
            | Self::CodeFail
            | Self::PasswordChangeFail
            | Self::TokenReuse
            | Self::TokenFail
            | Self::UserCreateFail
            | Self::NotPermitted
            | Self::RateLimitExceeded => "failure",
            Self::LoginSuccess
            | Self::CodeSuccess
            | Self::PasswordChange
            | Self::TokenRevoked
            | Self::UserCreated
            | Self::UserUpdated
            | Self::Admin => "success",
        }
    }
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody who has not shown who it is.
    Anonymous,
    /// The owner of this account.
    User(i64),
    /// Somebody at the command line.
    Operator,
}

/// What is to be noted.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Who did it.
    pub actor: Actor,
    /// To which account.
    pub user_id: Option<i64>,
    /// About which session.
    pub session_id: Option<Uuid>,
    /// A fingerprint of the address that was given.
    pub subject: Option<String>,
    /// The client's address.
    pub client_ip: Option<String>,
    /// The request.
    pub request_id: String,
    /// A few fixed words.
    pub detail: Option<String>,
    /// See [`Model::changes`].
    pub changes: Option<String>,
}

/// Seals the head of a log that has no event yet, so that it can be told from one that was emptied. Without
/// `whatever_else_there_is` it does so only while there is no account either: of a service in use nobody can say later
/// that its log was always empty. Whether it did.
pub async fn begin(
    db: &impl ConnectionTrait,
    key: &AuditKey,
    whatever_else_there_is: bool,
) -> Result<bool, DbErr> {
    head::seal_empty(db, &key.seal(0, ""), whatever_else_there_is).await
}

/// Appends an event. It takes the head's row, and with it everybody's turn, until the transaction ends: it has to be the
/// last that a transaction does, so that no two wait for each other.
pub async fn append(
    transaction: &Transaction,
    key: &AuditKey,
    event: Event,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let head = head::take(transaction).await?;
    let before = head.seq - 1;
    let mut last_hash = head.hash;
    if !key.seals(before, &last_hash, &head.seal) {
        tracing::error!(
            audit.seq = head.seq,
            "The audit chain head was tampered with. The next event records it."
        );
        TORN.clone_into(&mut last_hash);
    }
    let mut row = event.row(head.seq, now);
    row.hash = key.hash(&row, &last_hash);
    head::set(transaction, &row.hash, &key.seal(head.seq, &row.hash)).await?;
    Entity::insert(row.into_active_model().reset_all())
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

impl Event {
    /// Its row, but for the hash.
    fn row(self, seq: i64, at: DateTime<Utc>) -> Model {
        Model {
            seq,
            at,
            event: self.kind.as_str().to_owned(),
            outcome: self.kind.outcome().to_owned(),
            actor: match self.actor {
                Actor::Anonymous => "anonymous".to_owned(),
                Actor::User(id) => format!("user {id}"),
                Actor::Operator => "operator".to_owned(),
            },
            user_id: self.user_id,
            session_id: self.session_id,
            subject: self.subject.map(|it| it.chars().take(SUBJECT).collect()),
            client_ip: self.client_ip,
            request_id: self.request_id,
            detail: self.detail,
            changes: self.changes,
            hash: String::new(),
        }
    }
}

/// Which events to list; what is `None` excludes none.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// About this account, or done by it.
    pub user_id: Option<i64>,
    /// Done by this account, or `operator`, or `anonymous`, as the log writes them.
    pub actor: Option<String>,
    /// Of this kind, by its name.
    pub event: Option<String>,
    /// Not before this.
    pub since: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
    /// Before this event.
    pub before: Option<i64>,
}

/// The newest events that a filter lets through, the newest first.
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
        first = Some(place_of(db, since - SKEW).await?);
    }
    if let Some(until) = until {
        end = Some(place_of(db, until + SKEW).await?);
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

/// About where in the chain the events of a time begin: the place of one, or the end. Times rise with the places, but for
/// what the clocks of replicas differ by, and no place is empty; so a few looks find it, and no index of times is needed.
async fn place_of(db: &impl ConnectionTrait, time: DateTime<Utc>) -> Result<i64, DbErr> {
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

/// The newest events about an account, the newest first.
pub async fn list_of(
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

/// Whose address a fingerprint is of, if anything was noted of that account.
pub async fn account_of(
    db: &impl ConnectionTrait,
    fingerprint: &str,
) -> Result<Option<i64>, DbErr> {
    let subject: String = fingerprint.chars().take(SUBJECT).collect();
    let found = Entity::find()
        .filter(Column::Subject.eq(subject))
        .filter(Column::UserId.is_not_null())
        .order_by_desc(Column::Seq)
        .one(db)
        .await?;
    Ok(found.and_then(|event| event.user_id))
}

/// How many events of a kind there were from `since` up to `until`.
pub async fn count(
    db: &impl ConnectionTrait,
    kind: EventKind,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<u64, DbErr> {
    use sea_orm::PaginatorTrait as _;
    Entity::find()
        .filter(Column::Event.eq(kind.as_str()))
        .filter(Column::At.gte(since))
        .filter(Column::At.lt(until))
        .count(db)
        .await
}

/// The end of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many events there are.
    pub seq: i64,
    /// The last one's hash; empty when there is none.
    pub hash: String,
}

/// As `audit verify` prints it and takes it.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

/// Why a chain is not whole.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The event is not as it was written, or one before it is not.
    #[error("event {0} was altered, or stands where it was not written")]
    Altered(i64),
    /// There is no event of this number.
    #[error("event {0} is missing")]
    Missing(i64),
    /// There is an event before the first or after the last.
    #[error("event {0} was added outside of the chain")]
    Added(i64),
    /// The head is not as it was written.
    #[error("the head of the chain was altered")]
    Head,
    /// The head was not as it was written when this event was appended.
    #[error("the head of the chain was altered before event {0} was appended")]
    Torn(i64),
    /// The chain does not go through what was noted of it.
    #[error("event {0} is not the one that was noted")]
    NotAsNoted(i64),
    /// The chain could not be read.
    #[error("the database: {0}")]
    Database(#[from] DbErr),
}

/// Reads the whole chain. With `noted`, an earlier head, it has to go through that.
///
/// # Errors
/// At the first event that is not as it was written.
pub async fn verify(
    db: &impl ConnectionTrait,
    key: &AuditKey,
    noted: Option<&Head>,
) -> Result<Head, ChainError> {
    // First the head: events that are appended meanwhile are past it and are read to the end of the chain as it was.
    let head = head::read(db).await?;
    if !key.seals(head.seq, &head.hash, &head.seal) {
        return Err(ChainError::Head);
    }
    let mut last = Head {
        seq: 0,
        hash: String::new(),
    };
    while last.seq < head.seq {
        let batch = Entity::find()
            .filter(Column::Seq.gt(last.seq))
            .filter(Column::Seq.lte(head.seq))
            .order_by_asc(Column::Seq)
            .limit(BATCH)
            .all(db)
            .await?;
        if batch.is_empty() {
            return Err(ChainError::Missing(last.seq + 1));
        }
        // Others have their turn between two batches.
        tokio::task::yield_now().await;
        for row in batch {
            if row.seq != last.seq + 1 {
                return Err(ChainError::Missing(last.seq + 1));
            }
            if key.hash(&row, &last.hash) != row.hash {
                return Err(if key.hash(&row, TORN) == row.hash {
                    ChainError::Torn(row.seq)
                } else {
                    ChainError::Altered(row.seq)
                });
            }
            last = Head {
                seq: row.seq,
                hash: row.hash,
            };
            if noted.is_some_and(|noted| noted.seq == last.seq && *noted != last) {
                return Err(ChainError::NotAsNoted(last.seq));
            }
        }
    }
    if last.hash != head.hash {
        return Err(ChainError::Head);
    }
    // An event and the head are written in one step, so of what is seen first the head that is read next knows.
    let ends = [
        Entity::find().order_by_asc(Column::Seq).one(db).await?,
        Entity::find().order_by_desc(Column::Seq).one(db).await?,
    ];
    let end = head::read(db).await?.seq;
    if let Some(row) = ends
        .into_iter()
        .flatten()
        .find(|row| !(1..=end).contains(&row.seq))
    {
        return Err(ChainError::Added(row.seq));
    }
    match noted {
        Some(noted) if noted.seq > last.seq => Err(ChainError::Missing(last.seq + 1)),
        _ => Ok(last),
    }
}
