//! Requests for a one-time code: password resets, activations and confirmations of an email by the account owner.
//!
//! A password reset has three steps: request, check of the code, new password. Each step is possible once. The row states how
//! far the reset has come. Redis stores the code ([`crate::redis::one_time_code`]).

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveValue::Set,
    QueryOrder as _, QuerySelect as _, QueryTrait as _,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _, Func},
};

use crate::{
    crypto::token_hash::TokenHash,
    database::{self, find_unique},
    models::user,
    types::email::{Email, EmailKey},
};

mod delivery;
mod email_change;
mod of_account;

pub use crate::models::password_reset::{
    delivery::{bind, set_recipient, start_code_lifetimes},
    email_change::{end_email_changes, find_email_change, list_email_changes},
    of_account::{delete_about, list_concerning},
};

/// One request for a one-time code.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_resets")]
pub struct Model {
    /// A UUID v7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The key of the email that the client gave.
    pub email_key: EmailKey,
    /// The hash of the reset token, which the client that asked for the code receives.
    #[sea_orm(unique)]
    pub token_hash: TokenHash,
    /// The account. For an activation it is that of the registration, or `None` if the registration was refused. For a reset the worker
    /// sets it when it looks the email up; it is `None` until then, and if no active account has the email.
    pub user_id: Option<i64>,
    /// When the code was requested.
    pub created_at: DateTime<Utc>,
    /// When the request expires.
    pub expires_at: DateTime<Utc>,
    /// When the code expires. Set once the SMTP server has accepted the mail; until then, the code expires with the request.
    pub code_expires_at: Option<DateTime<Utc>>,
    /// The number of codes that were tried, right or wrong.
    pub tries: i32,
    /// When the right code was entered.
    pub checked_at: Option<DateTime<Utc>>,
    /// When the request was used, or superseded by another reset or a password change of the account.
    pub ended_at: Option<DateTime<Utc>>,
    /// What the code is for.
    pub purpose: Purpose,
    /// The known browser and system of the request, if any.
    pub device: Option<String>,
    /// The email to be confirmed. Only with [`Purpose::EmailChange`].
    pub new_email: Option<Email>,
    /// The key of the email that the code goes to, if it is not `email_key`.
    pub recipient_key: Option<EmailKey>,
}

/// The purpose of a one-time code. A code is valid for its purpose only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Purpose {
    /// To set a new password. This also activates an account that is pending verification.
    #[sea_orm(string_value = "reset")]
    Reset,
    /// To activate the account.
    #[sea_orm(string_value = "activation")]
    Activation,
    /// To confirm a new email.
    #[sea_orm(string_value = "email_change")]
    EmailChange,
}

impl Model {
    /// Returns whether the request has neither ended nor expired.
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }

    /// Returns whether a code may be tried: the request is open, its code was not yet entered and has not expired.
    #[must_use]
    pub fn accepts_code(&self, now: DateTime<Utc>) -> bool {
        self.is_open(now)
            && self.checked_at.is_none()
            && self.code_expires_at.is_none_or(|end| now < end)
    }

    /// Returns whether a new password may be set.
    #[must_use]
    pub fn accepts_password(&self, now: DateTime<Utc>) -> bool {
        self.is_open(now) && self.checked_at.is_some()
    }

    /// Returns the email that gets the code, of an account that the request is bound to.
    #[must_use]
    pub fn recipient<'a>(&'a self, owner: &'a user::Model) -> Option<&'a Email> {
        match self.purpose {
            Purpose::Reset => Some(owner.reset_email(self.created_at)),
            Purpose::Activation => Some(&owner.email),
            Purpose::EmailChange => self.new_email.as_ref(),
        }
    }

    /// Returns the mailbox that the code goes to, as far as it is known. Attempts are counted for it.
    #[must_use]
    pub fn mailbox(&self) -> &EmailKey {
        self.recipient_key.as_ref().unwrap_or(&self.email_key)
    }

    /// Returns whether an account may still use the code.
    #[must_use]
    pub fn is_owned_by(&self, user: &user::Model) -> bool {
        user.is_active
            && match self.purpose {
                Purpose::Reset => user.has_email(&self.email_key, self.created_at),
                Purpose::Activation => {
                    self.user_id == Some(user.id) && user.email_key == self.email_key
                }
                Purpose::EmailChange => self.user_id == Some(user.id),
            }
    }

    /// Returns how far the reset has come.
    #[must_use]
    pub fn stage(&self, now: DateTime<Utc>) -> Stage {
        match (self.ended_at, self.checked_at) {
            (Some(_), Some(_)) => Stage::Used,
            (Some(_), None) => Stage::Superseded,
            (None, _) if now >= self.expires_at => Stage::Expired,
            (None, Some(_)) => Stage::Checked,
            (None, None) => Stage::Open,
        }
    }

    /// Returns when a code that is sent now expires: after `lifetime`, but not later than the request.
    #[must_use]
    pub fn code_expiry(&self, sent: DateTime<Utc>, lifetime: TimeDelta) -> DateTime<Utc> {
        Ord::min(self.expires_at, sent + lifetime)
    }
}

/// How far a reset has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Requested; the code was not yet entered.
    Open,
    /// The code was entered; the new password was not yet set.
    Checked,
    /// A new password was set, by this reset or by another one of the account.
    Used,
    /// Ended before the code was entered, by another reset or a password change.
    Superseded,
    /// Expired.
    Expired,
}

impl Stage {
    /// Returns the name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Checked => "checked",
            Self::Used => "used",
            Self::Superseded => "overtaken",
            Self::Expired => "expired",
        }
    }
}

/// No relations: requests for emails without an account are stored, too.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The data of a new request.
#[derive(Clone, Debug)]
pub struct NewReset {
    /// A UUID v7.
    pub id: Uuid,
    /// See [`Model::email_key`].
    pub email: EmailKey,
    /// See [`Model::token_hash`].
    pub token_hash: TokenHash,
    /// See [`Model::created_at`].
    pub created_at: DateTime<Utc>,
    /// The time until the request expires.
    pub lifetime: TimeDelta,
    /// See [`Model::purpose`].
    pub purpose: Purpose,
    /// See [`Model::device`].
    pub device: Option<String>,
    /// See [`Model::user_id`].
    pub user_id: Option<i64>,
    /// See [`Model::new_email`].
    pub new_email: Option<Email>,
}

/// Stores a request. Does not look up whether the email has an account, so that the response time reveals nothing.
pub async fn insert(db: &impl ConnectionTrait, reset: NewReset) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(reset.id),
        email_key: Set(reset.email),
        token_hash: Set(reset.token_hash),
        created_at: Set(reset.created_at),
        expires_at: Set(reset.created_at + reset.lifetime),
        tries: Set(0),
        purpose: Set(reset.purpose),
        device: Set(reset.device),
        user_id: Set(reset.user_id),
        new_email: Set(reset.new_email),
        ..Default::default()
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Returns the request with this id.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    find_unique(Entity::find_by_id(id), db).await
}

/// Returns the request with this token and purpose.
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

/// Returns the newest requests, optionally of one purpose or account, and only those before the request `before`.
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
        // UUIDs v7 are ordered by time.
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Counts an attempt to enter the code. Returns false if `limit` attempts were made, or if the request accepts no code. A
/// single UPDATE decides, so that parallel attempts cannot exceed the limit.
pub async fn count_attempt(
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

/// Records that the right code was entered. Returns false if it was recorded before.
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

/// Whether the right code of a reset was given.
pub async fn is_checked(db: &impl ConnectionTrait, id: Uuid) -> Result<bool, DbErr> {
    let found = Entity::find_by_id(id).one(db).await?;
    Ok(found.is_some_and(|reset| reset.checked_at.is_some()))
}

/// Consumes a checked reset. Returns false if it was consumed before or has expired.
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

/// Ends a request, because another one replaces it. Returns false if the request was deleted, together with its account.
pub async fn supersede(
    db: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let ended_at = Func::coalesce([Expr::col(Column::EndedAt), Expr::value(now)]);
    let ended = Entity::update_many()
        .col_expr(Column::EndedAt, ended_at.into())
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(ended.rows_affected == 1)
}

/// Ends all requests of an account. Returns those that were not ended before; some of them may have expired.
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

/// Deletes all requests of accounts. Call it before the accounts themselves are deleted, to keep the lock order: see
/// [`database::lock_no_key_update`].
pub async fn delete_all(db: &impl ConnectionTrait, users: &[i64]) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.is_in(database::pad_to_power_of_two(users)))
        .exec(db)
        .await?;
    Ok(())
}

/// Deletes requests that expired before `cutoff`, but keeps activations that were created since `activations_since`: their tokens
/// request further codes. Returns the number of deleted requests.
pub async fn delete_expired_before(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
    activations_since: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let is_kept = Column::Purpose
        .eq(Purpose::Activation)
        .and(Column::CreatedAt.gte(activations_since));
    let expired = Entity::find()
        .filter(Column::ExpiresAt.lt(cutoff))
        .filter(is_kept.not());
    database::delete_in_parts(db, expired, Column::Id).await
}

/// Erases the device of requests that expired before `cutoff`. Returns the number of changed requests.
pub async fn erase_client_data(
    db: &impl ConnectionTrait,
    cutoff: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let found = Entity::find()
        .filter(Column::ExpiresAt.lt(cutoff))
        .filter(Column::Device.is_not_null());
    let erase = Entity::update_many().col_expr(Column::Device, Expr::value(None::<String>));
    database::update_in_parts(db, erase, found, Column::Id).await
}
