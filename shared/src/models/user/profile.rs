//! Changes of profiles.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    UpdateMany,
    entity::prelude::*,
    sea_query::{Expr, Value},
};

use crate::models::user::{
    Column, Entity, Model, WriteUserError, email::ensure_not_reserved, raise_version, search,
};
use crate::types::{
    email::Email, gender::Gender, language_tag::LanguageTag, phone_number::PhoneNumber,
    username::Username,
};

/// A change of a profile. `None` keeps a field, `Some(None)` clears it.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// See [`Model::email`].
    pub email: Option<Email>,
    /// See [`Model::email_trusted_from`]. Has an effect only with a new email.
    pub email_trusted_from: Option<DateTime<Utc>>,
    /// See [`Model::username`].
    pub username: Option<Username>,
    /// See [`Model::phone_number`].
    pub phone_number: Option<Option<PhoneNumber>>,
    /// See [`Model::picture`].
    pub picture: Option<Option<String>>,
    /// See [`Model::date_birth`].
    pub date_birth: Option<Option<NaiveDate>>,
    /// See [`Model::gender`].
    pub gender: Option<Option<Gender>>,
    /// See [`Model::language`].
    pub language: Option<Option<LanguageTag>>,
    /// See [`Model::language_chosen`].
    pub language_chosen: Option<bool>,
}

impl ProfileChange {
    /// Returns whether no field changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(
            self,
            Self {
                email: None,
                email_trusted_from: _,
                username: None,
                phone_number: None,
                picture: None,
                date_birth: None,
                gender: None,
                language: None,
                language_chosen: None,
            }
        )
    }
}

/// Stores a change and returns the updated account. The caller has locked the row of `user`.
pub async fn change(
    db: &impl ConnectionTrait,
    user: Model,
    change: ProfileChange,
    now: DateTime<Utc>,
) -> Result<Model, WriteUserError> {
    if change.is_empty() {
        return Ok(user);
    }
    let changed = Entity::update_many().filter(Column::Id.eq(user.id));
    let changed = set(changed, &user, change, now);
    let changed = changed.exec_with_returning(db).await?;
    let changed = changed
        .into_iter()
        .next()
        .ok_or(WriteUserError::Database(DbErr::RecordNotUpdated))?;
    if changed.email_key != user.email_key {
        ensure_not_reserved(db, &changed, now).await?;
    }
    Ok(changed)
}

/// The columns of an email that the owner has not confirmed. The account keeps the one that gets codes now, unless it never had an
/// owner: an email of an account pending verification replaces the one before.
fn new_email(
    user: &Model,
    email: &Email,
    trusted_from: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> [(Column, Value); 7] {
    let confirmed = Some(user.reset_email(now))
        .filter(|confirmed| confirmed.key() != email.key() && !user.pending_email_verification);
    let since = confirmed.and_then(|confirmed| user.email_since(&confirmed.key()));
    let trusted_from = trusted_from.filter(|_| confirmed.is_some());
    [
        (Column::EmailKey, email.key().into()),
        (Column::EmailVerifiedAt, None::<DateTime<Utc>>.into()),
        (Column::EmailSetAt, now.into()),
        (Column::ConfirmedEmail, confirmed.cloned().into()),
        (Column::ConfirmedEmailKey, confirmed.map(Email::key).into()),
        (Column::ConfirmedEmailSince, since.into()),
        (Column::EmailTrustedFrom, trusted_from.into()),
    ]
}

/// Adds a change of `user` to an update, and raises the version.
pub(super) fn set(
    update: UpdateMany<Entity>,
    user: &Model,
    change: ProfileChange,
    now: DateTime<Utc>,
) -> UpdateMany<Entity> {
    let mut columns: Vec<(Column, Value)> = Vec::new();
    let mut set = |column, value| columns.push((column, value));
    if let Some(text) = search_text(user, &change) {
        set(Column::SearchText, text.into());
    }
    if let Some(email) = change.email {
        // Another spelling of the same mailbox stays confirmed.
        if email.key() != user.email_key {
            for (column, value) in new_email(user, &email, change.email_trusted_from, now) {
                set(column, value);
            }
        }
        set(Column::Email, email.into());
    }
    if let Some(username) = change.username {
        set(Column::Username, username.into());
    }
    if let Some(phone_number) = change.phone_number {
        set(Column::PhoneNumber, phone_number.into());
    }
    if let Some(picture) = change.picture {
        set(Column::Picture, picture.into());
    }
    if let Some(date_birth) = change.date_birth {
        set(Column::DateBirth, date_birth.into());
    }
    if let Some(gender) = change.gender {
        set(Column::Gender, gender.into());
    }
    if let Some(language) = change.language {
        set(Column::Language, language.into());
    }
    if let Some(chosen) = change.language_chosen {
        set(Column::LanguageChosen, chosen.into());
    }
    columns
        .into_iter()
        .fold(raise_version(update), |update, (column, value)| {
            update.col_expr(column, Expr::value(value))
        })
}

/// Returns the new search text, if a change affects it.
fn search_text(user: &Model, change: &ProfileChange) -> Option<String> {
    if change.email.is_none() && change.username.is_none() && change.phone_number.is_none() {
        return None;
    }
    let username = change.username.as_ref().unwrap_or(&user.username);
    let email = change.email.as_ref().unwrap_or(&user.email);
    let phone_number = change.phone_number.as_ref().unwrap_or(&user.phone_number);
    Some(search::text_of(username, email, phone_number.as_ref()))
}
