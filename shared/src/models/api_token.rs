//! API tokens: credentials of scripts and services, each of a staff account.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    Condition, IntoActiveModel as _, QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    crypto::token_hash::TokenHash,
    database::{self, find_unique},
    models::user,
    types::{api_token_name::ApiTokenName, permission::Permissions},
};

/// The minimum time between two writes of a token's last use.
const LAST_USED_INTERVAL: TimeDelta = TimeDelta::minutes(1);

/// One API token.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_tokens")]
pub struct Model {
    /// A UUID v7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The account of the owner.
    pub user_id: i64,
    /// The name that the owner chose.
    pub name: ApiTokenName,
    /// The hash of the token. Unique.
    #[sea_orm(unique)]
    pub token_hash: TokenHash,
    /// The permissions that the owner chose. The token has those of them that its owner has.
    pub permissions: Permissions,
    /// When the token was created.
    pub created_at: DateTime<Utc>,
    /// When the token expires.
    pub expires_at: DateTime<Utc>,
    /// The time of the last request with the token, up to a minute early. `None` if there was none.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When the token was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Model {
    /// Returns whether the token is neither revoked nor expired.
    #[must_use]
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// A token belongs to a user.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The account of the owner.
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

/// Stores a new token.
pub async fn insert(db: &impl ConnectionTrait, token: Model) -> Result<(), DbErr> {
    let row = token.into_active_model().reset_all();
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Returns the live token with this hash and its active owner.
pub async fn find_live_by_hash(
    db: &impl ConnectionTrait,
    hash: &TokenHash,
    now: DateTime<Utc>,
) -> Result<Option<(Model, user::Model)>, DbErr> {
    find_live_where(db, Column::TokenHash.eq(hash.clone()), now).await
}

/// Returns the live token with this id and its active owner.
pub async fn find_live(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<(Model, user::Model)>, DbErr> {
    find_live_where(db, Column::Id.eq(id), now).await
}

async fn find_live_where(
    db: &impl ConnectionTrait,
    is_it: Expr,
    now: DateTime<Utc>,
) -> Result<Option<(Model, user::Model)>, DbErr> {
    let found = Entity::find().find_also_related(user::Entity).filter(is_it);
    let found = found.all(db).await?.into_iter().next();
    Ok(found
        .and_then(|(token, owner)| Some((token, owner?)))
        .filter(|(token, owner)| token.is_live(now) && owner.is_active))
}

/// Returns the token with this id, live or not.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    find_unique(Entity::find_by_id(id), db).await
}

/// Returns the live tokens of an account.
pub async fn list_live(
    db: &impl ConnectionTrait,
    user_id: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(live(now))
        .all(db)
        .await
}

/// Returns stored tokens with their owners, the newest first: those of an account, or of all accounts. Starts with those that are
/// older than `before`.
pub async fn list(
    db: &impl ConnectionTrait,
    user_id: Option<i64>,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<(Model, user::Model)>, DbErr> {
    let rows = Entity::find()
        .find_also_related(user::Entity)
        .apply_if(user_id, |query, id| query.filter(Column::UserId.eq(id)))
        .apply_if(before, |query, id| query.filter(Column::Id.lt(id)))
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    let with_owner = rows.into_iter();
    Ok(with_owner
        .filter_map(|(token, owner)| Some((token, owner?)))
        .collect())
}

/// Returns the stored tokens of an account, ended ones too, with ids after `after`, ordered by id.
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

/// Records a use of a token, at most once a minute.
pub async fn record_use(
    db: &impl ConnectionTrait,
    token: &Model,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let before = now - LAST_USED_INTERVAL;
    if token.last_used_at.is_some_and(|at| at > before) {
        return Ok(());
    }
    let is_due = Column::LastUsedAt
        .is_null()
        .or(Column::LastUsedAt.lte(before));
    Entity::update_many()
        .col_expr(Column::LastUsedAt, Expr::value(now))
        .filter(Column::Id.eq(token.id))
        .filter(is_due)
        .exec(db)
        .await?;
    Ok(())
}

/// Revokes a live token. Returns false if it is not live.
pub async fn revoke(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let which = live(now).add(Column::Id.eq(id));
    Ok(end(db, which, now).await? == 1)
}

/// Revokes all live tokens of an account.
pub async fn revoke_all(
    db: &impl ConnectionTrait,
    user_id: i64,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let which = live(now).add(Column::UserId.eq(user_id));
    end(db, which, now).await.map(drop)
}

/// Revokes all live tokens of all accounts.
pub async fn revoke_of_everyone(
    db: &impl ConnectionTrait,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    end(db, live(now), now).await.map(drop)
}

/// Deletes tokens that expired or were revoked before `cutoff`. Returns the number of deleted tokens.
pub async fn delete_ended_before(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let has_ended = Column::ExpiresAt
        .lt(cutoff)
        .or(Column::RevokedAt.lt(cutoff));
    database::delete_in_parts(db, Entity::find().filter(has_ended), Column::Id).await
}

fn live(now: DateTime<Utc>) -> Condition {
    Condition::all()
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
        .exec(db)
        .await?;
    Ok(ended.rows_affected)
}
