//! How an account looks from outside.

use chrono::NaiveDate;
use latchkey_shared::{models::user, types::gender};
use poem_openapi::{Enum, Object};

use crate::accounts::pictures::PictureStore;

/// An account. The keys are the original's; what is not known is null.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct User {
    /// The e-mail address, as it was entered.
    pub email: String,
    /// What the owner is called.
    pub username: String,
    /// An international number in E.164 form, such as `+201001234567`.
    pub phone_number: Option<String>,
    /// The absolute URL of the picture.
    pub image: Option<String>,
    /// `YYYY-MM-DD`
    pub date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    pub gender: Option<Gender>,
    /// Whether the account was let in.
    #[oai(rename = "is_activated")]
    pub is_activated: bool,
}

/// `male` or `female`; null when it is not said.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
pub enum Gender {
    /// Male.
    Male,
    /// Female.
    Female,
}

impl Gender {
    /// As it is stored.
    #[must_use]
    pub fn of(stored: gender::Gender) -> Self {
        match stored {
            gender::Gender::Male => Self::Male,
            gender::Gender::Female => Self::Female,
        }
    }
}

impl User {
    /// What an account will look like from outside, whether or not it comes to be: without the picture, whose URL would
    /// show which of the two it was.
    #[must_use]
    pub fn announced(new: &user::NewUser) -> Self {
        Self {
            email: new.email.to_string(),
            username: new.username.to_string(),
            phone_number: new.phone_number.as_ref().map(ToString::to_string),
            image: None,
            date_birth: new.date_birth,
            gender: new.gender.map(Gender::of),
            is_activated: new.is_activated,
        }
    }

    /// The outside of a row.
    #[must_use]
    pub fn of(row: user::Model, pictures: &PictureStore) -> Self {
        Self {
            email: row.email.to_string(),
            username: row.username.to_string(),
            phone_number: row.phone_number.map(|number| number.to_string()),
            image: row.picture.map(|name| pictures.url(&name)),
            date_birth: row.date_birth,
            gender: row.gender.map(Gender::of),
            is_activated: row.is_activated,
        }
    }
}
