//! The public representation of an account.

use chrono::NaiveDate;
use latchkey_shared::{
    models::user,
    types::{gender, language_tag::LanguageTag},
};
use poem_openapi::{Enum, Object, types};

use crate::accounts::pictures::PictureStore;

/// An account. Unknown values are null.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub struct User {
    /// The email, as the owner entered it.
    pub email: types::Email,
    /// The name of the owner.
    pub username: String,
    /// The phone number in E.164 format, such as `+201001234567`.
    pub phone_number: Option<String>,
    /// The absolute URL of the profile picture.
    pub image: Option<String>,
    /// The date of birth, `YYYY-MM-DD`.
    pub date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    pub gender: Option<Gender>,
    /// The language of mails, a BCP 47 tag. Absent unless a registration or a change of the profile has set it.
    #[oai(skip_serializing_if_is_none)]
    pub language: Option<String>,
    /// Whether the account is activated.
    #[oai(rename = "is_activated")]
    pub is_activated: bool,
}

/// `male` or `female`; null if unknown.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "lowercase")]
pub enum Gender {
    /// Male.
    Male,
    /// Female.
    Female,
}

impl Gender {
    /// Converts the stored value.
    #[must_use]
    pub fn of(stored: gender::Gender) -> Self {
        match stored {
            gender::Gender::Male => Self::Male,
            gender::Gender::Female => Self::Female,
        }
    }
}

impl User {
    /// Describes an account before the registration is decided, as `REGISTRATION_PRIVACY` requires. Omits the picture, whose
    /// URL would show whether the account was created.
    #[must_use]
    pub fn announced(new: &user::NewUser) -> Self {
        Self {
            email: types::Email(new.email.to_string()),
            username: new.username.to_string(),
            phone_number: new.phone_number.as_ref().map(ToString::to_string),
            image: None,
            date_birth: new.date_birth,
            gender: new.gender.map(Gender::of),
            language: chosen(new.language.as_ref(), new.language_chosen),
            is_activated: new.is_activated,
        }
    }

    /// Describes a stored account.
    #[must_use]
    pub fn of(row: user::Model, pictures: &PictureStore) -> Self {
        Self {
            email: types::Email(row.email.to_string()),
            username: row.username.to_string(),
            language: chosen(row.language.as_ref(), row.language_chosen),
            phone_number: row.phone_number.map(|number| number.to_string()),
            image: row.picture.map(|name| pictures.url(&name)),
            date_birth: row.date_birth,
            gender: row.gender.map(Gender::of),
            is_activated: row.is_activated,
        }
    }
}

/// Returns the language if the owner chose it. Clients that know the original's fields only get no other one.
fn chosen(language: Option<&LanguageTag>, is_chosen: bool) -> Option<String> {
    language.filter(|_| is_chosen).map(ToString::to_string)
}
