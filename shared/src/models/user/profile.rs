//! Changes of profiles.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    UpdateMany,
    entity::prelude::*,
    sea_query::{Expr, Value},
};

use crate::models::user::{Column, Entity, Model, WriteUserError, raise_version, search};
use crate::types::{
    email::Email, gender::Gender, language_tag::LanguageTag, phone_number::PhoneNumber,
    username::Username,
};

/// A change of a profile. `None` keeps a field, `Some(None)` clears it.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// See [`Model::email`].
    pub email: Option<Email>,
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
    changed
        .into_iter()
        .next()
        .ok_or(WriteUserError::Database(DbErr::RecordNotUpdated))
}

/// Adds a change of `user` to an update, and raises the version.
pub(super) fn set(
    mut update: UpdateMany<Entity>,
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
        // Another spelling of the same mailbox stays proved.
        let kept = |column| Expr::case(Column::EmailKey.eq(email.key()), Expr::col(column));
        update = update
            .col_expr(
                Column::EmailVerifiedAt,
                kept(Column::EmailVerifiedAt)
                    .finally(None::<DateTime<Utc>>)
                    .into(),
            )
            .col_expr(
                Column::EmailSetAt,
                kept(Column::EmailSetAt).finally(now).into(),
            );
        set(Column::EmailKey, email.key().into());
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
