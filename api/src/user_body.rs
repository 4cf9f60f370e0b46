//! How an account looks from outside.

use chrono::NaiveDate;
use latchkey_shared::user;
use poem_openapi::{Enum, Object};

use crate::picture::PictureStore;

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

impl User {
    /// The outside of a row.
    #[must_use]
    pub fn of(row: user::Model, pictures: &PictureStore) -> Self {
        use latchkey_shared::gender::Gender as Stored;
        Self {
            email: row.email.to_string(),
            username: row.username.to_string(),
            phone_number: row.phone_number.map(|number| number.to_string()),
            image: row.picture.map(|name| pictures.url(&name)),
            date_birth: row.date_birth,
            gender: row.gender.map(|gender| match gender {
                Stored::Male => Gender::Male,
                Stored::Female => Gender::Female,
            }),
            is_activated: row.is_activated,
        }
    }
}
