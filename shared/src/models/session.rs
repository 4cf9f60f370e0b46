//! Sessions: one row a login. A token counts only while its session is alive.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveValue::Set, Condition, FromQueryResult, Iterable as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _, entity::prelude::*, sea_query::Expr,
};

use crate::{
    crypto::token_hash::TokenHash,
    database::{self, RowReader},
    models::user,
    types::client_network::client_network,
};

/// How long after its end by itself a session still makes the network of its login known.
pub const KNOWN_AFTER_EXPIRY: TimeDelta = TimeDelta::days(30);

/// One login on one device.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// A UUID v7; the `sid` of tokens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose login.
    pub user_id: i64,
    /// The hash of the refresh token's 128 random bits.
    pub secret_hash: TokenHash,
    /// What the client called itself, 200 characters at most.
    pub user_agent: Option<String>,
    /// The client's address.
    pub client_ip: Option<String>,
    /// The login.
    pub created_at: DateTime<Utc>,
    /// The last login or refresh.
    pub last_used_at: DateTime<Utc>,
    /// When it ends by itself, the refresh token with it.
    pub expires_at: DateTime<Utc>,
    /// The hash of the refresh token before the present one, where tokens rotate.
    pub previous_hash: Option<TokenHash>,
    /// When the present one took its place.
    pub rotated_at: Option<DateTime<Utc>>,
    /// When it was ended, by logout, reset, or an administrator.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Model {
    /// Whether its tokens count: it was not ended, has not run out, and was not idle for too long.
    #[must_use]
    pub fn is_alive(&self, now: DateTime<Utc>, idle: TimeDelta) -> bool {
        self.revoked_at.is_none() && now < self.expires_at && now < self.last_used_at + idle
    }
}

/// A session belongs to a user.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// Whose login.
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

/// Makes the session of a login.
///
/// # Errors
/// When the database fails.
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
        previous_hash: Set(session.previous_hash),
        rotated_at: Set(session.rotated_at),
        revoked_at: Set(session.revoked_at),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// A living session with its user, who is active: the one look-up that a token costs.
///
/// # Errors
/// When the database fails.
pub async fn find_alive(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
    idle: TimeDelta,
) -> Result<Option<(Model, user::Model)>, DbErr> {
    let found = find_many(db, &[id]).await?.remove(&id);
    Ok(found.filter(|found| counts(found, now, idle)))
}

/// The same, held: nobody ends it, and nobody changes the account, before this transaction has ended. The user's row is
/// held first, see [`user::lock`].
///
/// # Errors
/// When the database fails.
pub async fn lock_alive(
    transaction: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
    idle: TimeDelta,
) -> Result<Option<(Model, user::Model)>, DbErr> {
    let session = database::lock_no_key_update(with_user().filter(Column::Id.eq(id)), transaction);
    let found = session.into_model::<WithUser>().all(transaction).await?;
    let found = found.into_iter().next().map(|found| found.0);
    Ok(found.filter(|found| counts(found, now, idle)))
}

/// Whether a session with its user lets its tokens count.
#[must_use]
pub fn counts((session, user): &(Model, user::Model), now: DateTime<Utc>, idle: TimeDelta) -> bool {
    session.is_alive(now, idle) && user.is_active
}

/// Sessions with their users, by the sessions' ids, in one statement; what is not there is left out.
///
/// # Errors
/// When the database fails.
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

/// Users with their sessions, the user first: where rows are held, it is in this order.
fn with_user() -> Select<user::Entity> {
    user::Entity::find()
        .inner_join(Entity)
        .columns(Column::iter())
}

/// A row of [`with_user`], taken apart by the places of its columns: every access token costs one, and by their names it
/// would take twice as long.
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
            previous_hash: row.next()?,
            rotated_at: row.next()?,
            revoked_at: row.next()?,
        };
        Ok(Self((session, user)))
    }
}

/// Notes that a session was used to refresh.
///
/// # Errors
/// When the database fails.
pub async fn touch(db: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
    touch_many(db, &[id], now).await
}

/// Notes that sessions were used to refresh, in one statement.
///
/// # Errors
/// When the database fails.
pub async fn touch_many(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let these = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)));
    // Whoever has locked a row ends that session, notes the same of it, or changes its account: beside the last a note may be
    // missed.
    Entity::update_many()
        .col_expr(Column::LastUsedAt, Expr::value(now))
        .filter(Column::Id.in_subquery(database::skip_locked(these, db)))
        .exec(db)
        .await?;
    Ok(())
}

/// Puts the next refresh token in the place of the present one; false when somebody else already has. One UPDATE
/// decides, so that of many refreshes at once one rotates.
///
/// # Errors
/// When the database fails.
pub async fn rotate(
    db: &impl ConnectionTrait,
    id: Uuid,
    present: TokenHash,
    next: TokenHash,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let rotated = Entity::update_many()
        .col_expr(Column::SecretHash, Expr::value(next))
        .col_expr(Column::PreviousHash, Expr::value(present.clone()))
        .col_expr(Column::RotatedAt, Expr::value(now))
        .col_expr(Column::LastUsedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::SecretHash.eq(present))
        .filter(Column::RevokedAt.is_null())
        .exec(db)
        .await?;
    Ok(rotated.rows_affected == 1)
}

/// Ends one session; false when it had ended already.
///
/// # Errors
/// When the database fails.
pub async fn revoke(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    Ok(end(db, Condition::all().add(Column::Id.eq(id)), now).await? == 1)
}

/// Ends every session of a user.
///
/// # Errors
/// When the database fails.
pub async fn revoke_all(
    db: &impl ConnectionTrait,
    user_id: i64,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    end(db, Condition::all().add(Column::UserId.eq(user_id)), now).await?;
    Ok(())
}

/// Ends one session of a user; false when it is not alive or not theirs.
///
/// # Errors
/// When the database fails.
pub async fn revoke_own(
    db: &impl ConnectionTrait,
    user_id: i64,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let ended = end(db, alive(user_id, now).add(Column::Id.eq(id)), now).await?;
    Ok(ended == 1)
}

/// Ends every session of a user but one.
///
/// # Errors
/// When the database fails.
pub async fn revoke_others(
    db: &impl ConnectionTrait,
    user_id: i64,
    kept: Uuid,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    end(db, alive(user_id, now).add(Column::Id.ne(kept)), now).await?;
    Ok(())
}

/// The living sessions of a user, the newest first.
///
/// # Errors
/// When the database fails.
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

/// Removes the rows of sessions that ended before `cutoff`; returns how many.
///
/// # Errors
/// When the database fails.
pub async fn delete_ended_before(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let ended = Entity::find().filter(Column::ExpiresAt.lt(cutoff));
    database::delete_in_parts(db, ended, Column::Id).await
}

/// Returns up to `limit` client networks from which an account has logged in, those of the earliest logins first.
///
/// A session counts if its login was after the account got or last proved its present address, and if it has not expired more
/// than [`KNOWN_AFTER_EXPIRY`] ago. So none that a password reset ended counts. How else it ended does not matter: otherwise
/// a thief could make the owner's networks unknown, by a logout or by the replay of a refresh token. The client IP is that of
/// the login, whose client knew the password; a stolen token that is used elsewhere adds no network. Somebody who has guessed
/// the password adds some, after those of the owner.
///
/// # Errors
/// When the database fails.
pub async fn known_networks(
    db: &impl ConnectionTrait,
    user: &user::Model,
    limit: usize,
    now: DateTime<Utc>,
) -> Result<Vec<String>, DbErr> {
    let client_ips: Vec<String> = Entity::find()
        .select_only()
        .column(Column::ClientIp)
        .filter(Column::UserId.eq(user.id))
        .filter(Column::ClientIp.is_not_null())
        .filter(Column::ExpiresAt.gt(now - KNOWN_AFTER_EXPIRY))
        .apply_if(user.email_since(), |query, since| {
            query.filter(Column::CreatedAt.gt(since))
        })
        .group_by(Column::ClientIp)
        .order_by_asc(Column::CreatedAt.min())
        .into_tuple()
        .all(db)
        .await?;
    let mut networks = Vec::new();
    for network in client_ips
        .iter()
        .filter_map(|ip| ip.parse().ok().map(client_network))
    {
        if networks.len() == limit {
            break;
        }
        if !networks.contains(&network) {
            networks.push(network);
        }
    }
    Ok(networks)
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
