//! The fields of a new account, which registrations and accounts created by staff share.

use chrono::NaiveDate;
use latchkey_shared::types::{
    email::Email, gender::Gender, language_tag::LanguageTag, phone_number::PhoneNumber,
    username::Username,
};

use crate::{
    http::body::fields::{Fields, InvalidField},
    passwords::Owner,
};

/// The valid fields of a new account.
#[derive(Debug)]
pub struct NewAccountData {
    /// `email`
    pub email: Email,
    /// `username`
    pub username: Username,
    /// `phoneNumber`
    pub phone_number: Option<PhoneNumber>,
    /// `dateBirth`
    pub date_birth: Option<NaiveDate>,
    /// `gender`
    pub gender: Option<Gender>,
    /// `language`
    pub language: Option<LanguageTag>,
}

/// The fields as they were read. The errors of invalid ones are in the [`Fields`].
pub struct NewAccountFields {
    email: Result<Email, InvalidField>,
    username: Result<Username, InvalidField>,
    phone_number: Result<Option<PhoneNumber>, InvalidField>,
    date_birth: Result<Option<NaiveDate>, InvalidField>,
    gender: Result<Option<Gender>, InvalidField>,
    language: Result<Option<LanguageTag>, InvalidField>,
}

impl NewAccountFields {
    /// Reads the fields. `password` reads the password field. Its error comes after those of email and username.
    pub fn read<P>(
        fields: &mut Fields,
        today: NaiveDate,
        password: impl FnOnce(&mut Fields) -> P,
    ) -> (Self, P) {
        let (email, username) = (fields.required("email"), fields.required("username"));
        let password = password(fields);
        let account = Self {
            email,
            username,
            phone_number: fields.optional("phoneNumber"),
            date_birth: fields.date_birth(today).map(Option::flatten),
            gender: fields.optional("gender"),
            language: fields.optional("language"),
        };
        (account, password)
    }

    /// Returns what a password must not resemble, if email and username are valid.
    #[must_use]
    pub fn owner(&self) -> Option<Owner<'_>> {
        let (Ok(email), Ok(username)) = (&self.email, &self.username) else {
            return None;
        };
        Some(Owner {
            email,
            username,
            phone_number: self.phone_number.as_ref().ok().and_then(Option::as_ref),
            date_birth: self.date_birth.ok().flatten(),
        })
    }

    /// Returns the account, after [`Fields::finish`] has found no error.
    pub fn finish(self) -> Result<NewAccountData, InvalidField> {
        Ok(NewAccountData {
            email: self.email?,
            username: self.username?,
            phone_number: self.phone_number?,
            date_birth: self.date_birth?,
            gender: self.gender?,
            language: self.language?,
        })
    }
}
