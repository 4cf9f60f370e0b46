//! Sessions: one row for each login. A token is valid only while its session is active.

mod client_data;

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveValue::Set, Condition, FromQueryResult, Iterable as _, QueryOrder as _, QuerySelect as _,
    entity::prelude::*, sea_query::Expr,
};

pub use crate::models::session::client_data::{erase_client_data, known_networks, recent_clients};
use crate::{
    crypto::token_hash::TokenHash,
    database::{self, RowReader},
    models::{original_token, user},
    types::rotation_times::RotationTimes,
};

/// How long after its expiry a session still makes the client network of its login a known one.
pub const KNOWN_AFTER_EXPIRY: TimeDelta = TimeDelta::days(30);

/// One login on one device.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// A UUID v7; the `sid` of tokens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The account.
    pub user_id: i64,
    /// The hash of the refresh token's 128 random bits.
    pub secret_hash: TokenHash,
    /// The client's `User-Agent`, at most 200 characters.
    pub user_agent: Option<String>,
    /// The client IP of the login.
    pub client_ip: Option<String>,
    /// When the user logged in.
    pub created_at: DateTime<Utc>,
    /// The time of the login or the last refresh.
    pub last_used_at: DateTime<Utc>,
    /// When the session and its refresh token expire.
    pub expires_at: DateTime<Utc>,
    /// When the last refresh tokens were replaced, if tokens rotate.
    pub rotation_times: RotationTimes,
    /// When the session was revoked, by a logout, a password reset or an administrator.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When the user last proved a second factor in this session, at its login or later.
    pub second_factor_at: Option<DateTime<Utc>>,
}

impl Model {
    /// Returns whether its tokens are valid: it is not revoked, expired or idle for longer than `idle`.
    #[must_use]
    pub fn is_alive(&self, now: DateTime<Utc>, idle: TimeDelta) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && now < self.last_used_at + idle
    }
}

/// A session belongs to a user.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The account.
    #[sea_orm(
        belongs_to = "user::Entity",
        from = "Column::UserId",
        to = "user::Column::Id"
    )]
    User,
}

impl Related<user::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::User.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

/// Creates the session of a login.
pub async fn insert(db: &impl ConnectionTrait, session: Model) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(session.id),
        user_id: Set(session.user_id),
        secret_hash: Set(session.secret_hash),
        user_agent: Set(session.user_agent),
        client_ip: Set(session.client_ip),
        created_at: Set(session.created_at),
        last_used_at: Set(session.last_used_at),
        expires_at: Set(session.expires_at),
        rotation_times: Set(session.rotation_times),
        revoked_at: Set(session.revoked_at),
        second_factor_at: Set(session.second_factor_at),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Returns the `User-Agent` of active and ended sessions, by id. Omits sessions without one.
pub async fn user_agents(
    db: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<HashMap<Uuid, String>, DbErr> {
    let ids: BTreeSet<_> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<_> = ids.into_iter().collect();
    let found: Vec<(Uuid, String)> = Entity::find()
        .select_only()
        .columns([Column::Id, Column::UserAgent])
        .filter(Column::Id.is_in(database::pad_to_power_of_two(&ids)))
        .filter(Column::UserAgent.is_not_null())
        .into_tuple()
        .all(db)
        .await?;
    Ok(found.into_iter().collect())
}

/// Returns an active session with its active account. Each request with a token runs this query once.
pub async fn find_alive(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
    idle: TimeDelta,
) -> Result<Option<(Model, user::Model)>, DbErr> {
    let found = find_many(db, &[id]).await?.remove(&id);
    Ok(found.filter(|found| is_valid(found, now, idle)))
}

/// Returns the same as [`find_alive`], and locks the account and the session until the transaction ends. The account is locked
/// first, as by [`user::lock`].
pub async fn lock_alive(
    transaction: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
    idle: TimeDelta,
) -> Result<Option<(Model, user::Model)>, DbErr> {
    let session = database::lock_no_key_update(with_user().filter(Column::Id.eq(id)), transaction);
    let found = session.into_model::<WithUser>().all(transaction).await?;
    let found = found.into_iter().next().map(|found| found.0);
    Ok(found.filter(|found| is_valid(found, now, idle)))
}

/// Returns whether a session and its account are active, so that its tokens are valid.
#[must_use]
pub fn is_valid(
    (session, user): &(Model, user::Model),
    now: DateTime<Utc>,
    idle: TimeDelta,
) -> bool {
    session.is_alive(now, idle) && user.is_active
}

/// Returns sessions with their accounts by session id, in one statement.
pub async fn find_many(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, (Model, user::Model)>, DbErr> {
    let found = with_user()
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)))
        .into_model::<WithUser>()
        .all(db)
        .await?;
    Ok(found
        .into_iter()
        .map(|found| (found.0.0.id, found.0))
        .collect())
}

/// Selects accounts with their sessions. The account comes first, because rows are locked in this order.
fn with_user() -> Select<user::Entity> {
    user::Entity::find()
        .inner_join(Entity)
        .columns(Column::iter())
}

/// A row of [`with_user`], read by position. Reading by name would take twice as long, and each request with a token reads one.
struct WithUser((Model, user::Model));

impl FromQueryResult for WithUser {
    fn from_query_result(row: &QueryResult, _prefix: &str) -> Result<Self, DbErr> {
        let mut row = RowReader::new(row);
        let user = user::Model::in_order(&mut row)?;
        let session = Model {
            id: row.next()?,
            user_id: row.next()?,
            secret_hash: row.next()?,
            user_agent: row.next()?,
            client_ip: row.next()?,
            created_at: row.next()?,
            last_used_at: row.next()?,
            expires_at: row.next()?,
            rotation_times: row.next()?,
            revoked_at: row.next()?,
            second_factor_at: row.next()?,
        };
        Ok(Self((session, user)))
    }
}

/// Records that the user of a session has proved a second factor.
pub async fn record_second_factor(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::SecondFactorAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(())
}

/// Records a refresh of a session.
pub async fn touch(db: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
    touch_many(db, &[id], now).await
}

/// Records refreshes of sessions in one statement. Skips locked rows.
pub async fn touch_many(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let ids = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)));
    // A transaction that has locked the row revokes the session, records a refresh, or changes the account. In the last case the
    // refresh is not recorded, which is acceptable.
    Entity::update_many()
        .col_expr(Column::LastUsedAt, Expr::value(now))
        .filter(Column::Id.in_subquery(database::skip_locked(ids, db)))
        .exec(db)
        .await?;
    Ok(())
}

/// Replaces the current refresh token by the next one. Returns false if it was already replaced. A single UPDATE decides, so that
/// only one of several concurrent refreshes rotates the token. `times` are those of the session with this rotation.
pub async fn rotate(
    db: &impl ConnectionTrait,
    id: Uuid,
    present: TokenHash,
    next: TokenHash,
    times: RotationTimes,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let rotated = Entity::update_many()
        .col_expr(Column::SecretHash, Expr::value(next))
        .col_expr(Column::RotationTimes, Expr::value(times))
        .col_expr(Column::LastUsedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::SecretHash.eq(present))
        .filter(Column::RevokedAt.is_null())
        .exec(db)
        .await?;
    Ok(rotated.rows_affected == 1)
}

/// Revokes a session. Returns false if it was already revoked.
pub async fn revoke(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    Ok(end(db, Condition::all().add(Column::Id.eq(id)), now).await? == 1)
}

/// Revokes all sessions of an account, and the tokens that the original issued to it.
pub async fn revoke_all(
    db: &impl ConnectionTrait,
    user_id: i64,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    // First, because it waits for a concurrent first use of such a token, whose session must end, too.
    original_token::end(db, Some(user_id), now).await?;
    end(db, Condition::all().add(Column::UserId.eq(user_id)), now).await?;
    Ok(())
}

/// Revokes all sessions of all accounts.
pub async fn revoke_of_everyone(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    original_token::end(db, None, now).await?;
    end(db, Condition::all(), now).await?;
    Ok(())
}

/// Revokes an active session of an account. Returns false if the account has no such session.
pub async fn revoke_own(
    db: &impl ConnectionTrait,
    user_id: i64,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let ended = end(db, alive(user_id, now).add(Column::Id.eq(id)), now).await?;
    Ok(ended == 1)
}

/// Revokes all sessions of an account except one, and the unused tokens that the original issued to it.
pub async fn revoke_others(
    db: &impl ConnectionTrait,
    user_id: i64,
    kept: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    original_token::end(db, Some(user_id), now).await?;
    end(db, alive(user_id, now).add(Column::Id.ne(kept)), now).await?;
    Ok(())
}

/// Returns the sessions of an account that are neither revoked nor expired, the newest first.
pub async fn list_alive(
    db: &impl ConnectionTrait,
    user_id: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(alive(user_id, now))
        .order_by_desc(Column::CreatedAt)
        .all(db)
        .await
}

/// Returns the stored sessions of an account, ended ones too, with ids after `after`, ordered by id.
pub async fn list_after(
    db: &impl ConnectionTrait,
    user_id: i64,
    after: Uuid,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Deletes sessions that expired before `cutoff`. Returns the number of deleted sessions.
pub async fn delete_ended_before(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let ended = Entity::find().filter(Column::ExpiresAt.lt(cutoff));
    database::delete_in_parts(db, ended, Column::Id).await
}

fn alive(user_id: i64, now: DateTime<Utc>) -> Condition {
    Condition::all()
        .add(Column::UserId.eq(user_id))
        .add(Column::RevokedAt.is_null())
        .add(Column::ExpiresAt.gt(now))
}

async fn end(
    db: &impl ConnectionTrait,
    which: Condition,
    now: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let ended = Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(which)
        .filter(Column::RevokedAt.is_null())
        .exec(db)
        .await?;
    Ok(ended.rows_affected)
}
