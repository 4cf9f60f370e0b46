//! Which email of an account counts while its owner has not confirmed the current one.

use std::iter;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    Condition,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    models::user::{Column, Entity, Model, WriteUserError, raise_version, search},
    types::email::{Email, EmailKey},
};

impl Model {
    /// Returns since when an email belongs to the account's owner: its last confirmation or, without one, its last change.
    /// `None` stands for the creation of the account.
    #[must_use]
    pub fn email_since(&self, key: &EmailKey) -> Option<DateTime<Utc>> {
        if self.confirmed_email_key.as_ref() == Some(key) {
            return self.confirmed_email_since;
        }
        self.email_verified_at.or(self.email_set_at)
    }

    /// Returns whether the owner has confirmed the current email by a one-time code.
    #[must_use]
    pub fn has_confirmed_email(&self) -> bool {
        self.email_verified_at.is_some()
    }

    /// Returns the email that gets the code of a password reset that is requested at this time: the last confirmed or registered one,
    /// until the owner confirms the current one or the installation trusts it.
    #[must_use]
    pub fn reset_email(&self, at: DateTime<Utc>) -> &Email {
        let is_trusted = self.email_trusted_from.is_some_and(|from| from <= at);
        match &self.confirmed_email {
            Some(confirmed) if !is_trusted => confirmed,
            _ => &self.email,
        }
    }

    /// Returns the email that gets the code of a password reset that is requested at this time, if it is not the current one.
    #[must_use]
    pub fn other_reset_email(&self, at: DateTime<Utc>) -> Option<&Email> {
        Some(self.reset_email(at)).filter(|email| email.key() != self.email_key)
    }

    /// Returns the emails whose failed attempts count for the account: the one of logins and the one of codes.
    pub fn emails(&self, at: DateTime<Utc>) -> impl Iterator<Item = &Email> {
        iter::once(&self.email).chain(self.other_reset_email(at))
    }

    /// Returns an email as the account spells it.
    #[must_use]
    pub fn spelling_of<'a>(&'a self, email: &'a Email) -> &'a Email {
        let known = [Some(&self.email), self.confirmed_email.as_ref()];
        let mut known = known.into_iter().flatten();
        known.find(|it| it.key() == email.key()).unwrap_or(email)
    }

    /// Returns whether a password reset that is requested at this time may name this email: the current one, or the one that gets the
    /// code.
    #[must_use]
    pub fn has_email(&self, key: &EmailKey, at: DateTime<Utc>) -> bool {
        self.email_key == *key || self.reset_email(at).key() == *key
    }
}

/// The accounts that have an email, as the current one or as the one that gets codes at this time. An account keeps the latter so that a
/// stranger cannot register with it.
pub(crate) fn has_email(key: &EmailKey, at: DateTime<Utc>) -> Condition {
    Condition::any()
        .add(Column::EmailKey.eq(key.as_str()))
        .add(reserves(key, at))
}

fn reserves(key: &EmailKey, at: DateTime<Utc>) -> Condition {
    let is_not_trusted = Condition::any()
        .add(Column::EmailTrustedFrom.is_null())
        .add(Column::EmailTrustedFrom.gt(at));
    Condition::all()
        .add(Column::ConfirmedEmailKey.eq(key.as_str()))
        .add(is_not_trusted)
}

/// Returns the account that has this email in any spelling, or gets codes at it.
pub async fn find_by_any_email(
    db: &impl ConnectionTrait,
    email: &Email,
    now: DateTime<Utc>,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(has_email(&email.key(), now))
        .one(db)
        .await
}

/// Returns whether another account than `id` has this email, or gets codes at it.
pub async fn is_taken(
    db: &impl ConnectionTrait,
    email: &Email,
    id: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let found = Entity::find()
        .filter(has_email(&email.key(), now))
        .filter(Column::Id.ne(id));
    Ok(found.one(db).await?.is_some())
}

/// Fails if another account gets codes at the current email of `user`. Call it after the write: the unique index has then waited for
/// the transaction that reserved the email.
pub(super) async fn ensure_not_reserved(
    db: &impl ConnectionTrait,
    user: &Model,
    now: DateTime<Utc>,
) -> Result<(), WriteUserError> {
    let is_reserved = is_reserved(db, &user.email_key, user.id, now).await;
    if is_reserved.map_err(WriteUserError::Database)? {
        return Err(WriteUserError::EmailTaken);
    }
    Ok(())
}

/// Returns whether another account than `id` gets codes at an email that is no longer its current one.
pub async fn is_reserved(
    db: &impl ConnectionTrait,
    key: &EmailKey,
    id: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let found = Entity::find()
        .filter(reserves(key, now))
        .filter(Column::Id.ne(id));
    Ok(found.one(db).await?.is_some())
}

/// Makes `email`, which the owner has just confirmed, the account's only one. Returns `None` if the current email is no longer that of
/// `seen`. The caller has locked the account.
pub async fn confirm_email(
    db: &impl ConnectionTrait,
    seen: &Model,
    email: &Email,
    now: DateTime<Utc>,
) -> Result<Option<Model>, WriteUserError> {
    let mut update = raise_version(Entity::update_many())
        .col_expr(Column::EmailVerifiedAt, Expr::value(now))
        .col_expr(Column::ConfirmedEmail, Expr::value(None::<String>))
        .col_expr(Column::ConfirmedEmailKey, Expr::value(None::<String>))
        .col_expr(
            Column::ConfirmedEmailSince,
            Expr::value(None::<DateTime<Utc>>),
        )
        .col_expr(Column::EmailTrustedFrom, Expr::value(None::<DateTime<Utc>>));
    if email.key() != seen.email_key {
        let text = search::text_of(&seen.username, email, seen.phone_number.as_ref());
        update = update
            .col_expr(Column::Email, Expr::value(email.clone()))
            .col_expr(Column::EmailKey, Expr::value(email.key()))
            .col_expr(Column::EmailSetAt, Expr::value(now))
            .col_expr(Column::SearchText, Expr::value(text));
    }
    let changed = update
        .filter(Column::Id.eq(seen.id))
        .filter(Column::IsActive.eq(true))
        .filter(Column::EmailKey.eq(seen.email_key.as_str()))
        .exec_with_returning(db)
        .await?;
    let Some(user) = changed.into_iter().next() else {
        return Ok(None);
    };
    ensure_not_reserved(db, &user, now).await?;
    Ok(Some(user))
}

/// Records that the owner has confirmed the current email, while another one gets codes. The current one gets them after `period`, if not
/// before.
pub async fn confirm_current_email(
    db: &impl ConnectionTrait,
    seen: &Model,
    now: DateTime<Utc>,
    period: TimeDelta,
) -> Result<(), DbErr> {
    let trusted_from = now + period;
    let trusted_from = seen
        .email_trusted_from
        .map_or(trusted_from, |from| Ord::min(from, trusted_from));
    raise_version(Entity::update_many())
        .col_expr(Column::EmailVerifiedAt, Expr::value(now))
        .col_expr(Column::EmailTrustedFrom, Expr::value(trusted_from))
        .filter(Column::Id.eq(seen.id))
        .exec(db)
        .await?;
    Ok(())
}

/// Sends codes to the current email of an account from now on, although its owner has not confirmed it. Returns false if it gets them
/// already.
pub async fn trust_email(
    db: &impl ConnectionTrait,
    id: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let changed = raise_version(Entity::update_many())
        .col_expr(Column::EmailTrustedFrom, Expr::value(now))
        .filter(Column::Id.eq(id))
        .filter(Column::ConfirmedEmail.is_not_null())
        .filter(
            Column::EmailTrustedFrom
                .is_null()
                .or(Column::EmailTrustedFrom.gt(now)),
        )
        .exec(db)
        .await?;
    Ok(changed.rows_affected == 1)
}
