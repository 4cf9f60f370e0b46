//! Password resets: request, check, reset, in this order and once each. And what else a mailed code is asked for: an owner
//! lets an account in by one.
//!
//! The row is the truth about how far a reset has come; the code itself is in Redis (`one_time_code`).

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveValue::Set,
    QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    crypto::token_hash::TokenHash,
    database::{self, find_unique},
    models::user,
    types::email::EmailKey,
};

/// One request for a code.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_resets")]
pub struct Model {
    /// A UUID v7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The address it was asked for, in lower case.
    pub email_key: EmailKey,
    /// The hash of the request's token.
    #[sea_orm(unique)]
    pub token_hash: TokenHash,
    /// Whose account it is. Set by the worker when it looks the address up; `None` while nobody has, and for ever
    /// when there is no such account.
    pub user_id: Option<i64>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When its code ends. Set when the mail was accepted by SMTP; until then the code counts as long as the reset.
    pub code_expires_at: Option<DateTime<Utc>>,
    /// How many codes were tried, right or wrong.
    pub tries: i32,
    /// When the right code was given.
    pub checked_at: Option<DateTime<Utc>>,
    /// When it was used, or overtaken by a reset of the same account.
    pub ended_at: Option<DateTime<Utc>>,
    /// What its code opens.
    pub purpose: Purpose,
}

/// What a code is for. It opens nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Purpose {
    /// A new password; whoever sets it is let in, too, where the account awaits its owner.
    #[sea_orm(string_value = "reset")]
    Reset,
    /// To let the account in.
    #[sea_orm(string_value = "activation")]
    Activation,
}

impl Model {
    /// Whether anything can still come of it.
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }

    /// Whether a code may be tried: it is open, not yet checked, and the code has not run out.
    #[must_use]
    pub fn accepts_code(&self, now: DateTime<Utc>) -> bool {
        self.is_open(now)
            && self.checked_at.is_none()
            && self.code_expires_at.is_none_or(|end| now < end)
    }

    /// Whether a new password may be set.
    #[must_use]
    pub fn accepts_password(&self, now: DateTime<Utc>) -> bool {
        self.is_open(now) && self.checked_at.is_some()
    }

    /// How far it has come.
    #[must_use]
    pub fn stage(&self, now: DateTime<Utc>) -> Stage {
        match (self.ended_at, self.checked_at) {
            (Some(_), Some(_)) => Stage::Used,
            (Some(_), None) => Stage::Overtaken,
            (None, _) if now >= self.expires_at => Stage::Expired,
            (None, Some(_)) => Stage::Checked,
            (None, None) => Stage::Open,
        }
    }

    /// When a code that is sent now ends: after its own life time, but never after the reset.
    #[must_use]
    pub fn code_end(&self, sent: DateTime<Utc>, lifetime: TimeDelta) -> DateTime<Utc> {
        Ord::min(self.expires_at, sent + lifetime)
    }
}

/// How far a reset has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Asked for; the code was not given yet.
    Open,
    /// The code was right; the password was not set yet.
    Checked,
    /// A new password was set, with this or at the same time with another of the same account.
    Used,
    /// Ended before its code was given: by another reset, or because the password was changed.
    Overtaken,
    /// It ran out.
    Expired,
}

impl Stage {
    /// Its name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Checked => "checked",
            Self::Used => "used",
            Self::Overtaken => "overtaken",
            Self::Expired => "expired",
        }
    }
}

/// No relations: a reset exists for addresses without an account, too.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a request is made of.
#[derive(Clone, Debug)]
pub struct NewReset {
    /// A UUID v7.
    pub id: Uuid,
    /// The address that was given.
    pub email: EmailKey,
    /// See [`Model::token_hash`].
    pub token_hash: TokenHash,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// How long it is open.
    pub lifetime: TimeDelta,
    /// What for.
    pub purpose: Purpose,
}

/// Stores a request. The API does not look up whether the email has an account.
pub async fn insert(db: &impl ConnectionTrait, reset: NewReset) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(reset.id),
        email_key: Set(reset.email),
        token_hash: Set(reset.token_hash),
        created_at: Set(reset.created_at),
        expires_at: Set(reset.created_at + reset.lifetime),
        tries: Set(0),
        purpose: Set(reset.purpose),
        ..Default::default()
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// The request that a token belongs to, if it is one for this.
pub async fn find_by_token(
    db: &impl ConnectionTrait,
    token: &TokenHash,
    purpose: Purpose,
) -> Result<Option<Model>, DbErr> {
    let found = Entity::find().filter(Column::TokenHash.eq(token.clone()));
    Ok(find_unique(found, db)
        .await?
        .filter(|request| request.purpose == purpose))
}

/// The newest requests for one purpose or all, of one account or of all, made before another.
pub async fn list(
    db: &impl ConnectionTrait,
    purpose: Option<Purpose>,
    user_id: Option<i64>,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .apply_if(purpose, |query, purpose| {
            query.filter(Column::Purpose.eq(purpose))
        })
        .apply_if(user_id, |query, id| query.filter(Column::UserId.eq(id)))
        .apply_if(before, |query, id| query.filter(Column::Id.lt(id)))
        // Ids rise with the time.
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Takes one of the tries of a reset that still takes a code; false when none is left. One UPDATE decides, so that
/// parallel guesses get no more tries between them than one after another would.
pub async fn take_try(
    db: &impl ConnectionTrait,
    id: Uuid,
    limit: i32,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let taken = Entity::update_many()
        .col_expr(Column::Tries, Expr::col(Column::Tries).add(1))
        .filter(Column::Id.eq(id))
        .filter(Column::Tries.lt(limit))
        .filter(Column::CheckedAt.is_null())
        .filter(Column::EndedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .exec(db)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Notes that the right code was given; false when somebody else was first.
pub async fn mark_checked(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let marked = Entity::update_many()
        .col_expr(Column::CheckedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::CheckedAt.is_null())
        .filter(Column::EndedAt.is_null())
        .exec(db)
        .await?;
    Ok(marked.rows_affected == 1)
}

/// Uses a checked reset up; false when it was used already.
pub async fn consume(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let used = Entity::update_many()
        .col_expr(Column::EndedAt, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::CheckedAt.is_not_null())
        .filter(Column::EndedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .exec(db)
        .await?;
    Ok(used.rows_affected == 1)
}

/// Ends all requests of an account, and returns those that had not been ended: some of them may have run out.
pub async fn end_all(
    db: &impl ConnectionTrait,
    user_id: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Model>, DbErr> {
    Entity::update_many()
        .col_expr(Column::EndedAt, Expr::value(now))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::EndedAt.is_null())
        .exec_with_returning(db)
        .await
}

/// Removes all requests of accounts, before the first of these is removed itself: see [`database::lock_no_key_update`].
pub async fn delete_all(db: &impl ConnectionTrait, users: &[i64]) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.is_in(database::pad_to_power_of_two(users)))
        .exec(db)
        .await?;
    Ok(())
}

/// Binds resets to the accounts that their addresses belong to, if those are active, and returns them so.
pub async fn bind(db: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Model>, DbErr> {
    let owner = user::Entity::find()
        .select_only()
        .column(user::Column::Id)
        .filter(
            Expr::col((user::Entity, user::Column::EmailKey)).equals((Entity, Column::EmailKey)),
        )
        .filter(user::Column::IsActive.eq(true))
        .into_query();
    Entity::update_many()
        .col_expr(Column::UserId, Expr::from(owner))
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)))
        .exec_with_returning(db)
        .await
}

/// Starts the life time of codes, as their mails were accepted: until `end`, but never beyond their resets.
pub async fn start_codes(
    db: &impl ConnectionTrait,
    ids: &[Uuid],
    end: DateTime<Utc>,
) -> Result<(), DbErr> {
    let first = Expr::case(Column::ExpiresAt.lt(end), Expr::col(Column::ExpiresAt));
    Entity::update_many()
        .col_expr(Column::CodeExpiresAt, first.finally(end).into())
        .filter(Column::Id.is_in(database::pad_to_power_of_two(ids)))
        .exec(db)
        .await?;
    Ok(())
}

/// Removes resets that ran out before `cutoff`; returns how many.
pub async fn delete_expired_before(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let expired = Entity::find().filter(Column::ExpiresAt.lt(cutoff));
    database::delete_in_parts(db, expired, Column::Id).await
}
