//! The fields of a request, validated together.
//!
//! A handler reads each field by name and type. [`Fields`] collects the errors, and [`Fields::finish`] returns all of them at
//! once.

use std::{collections::HashMap, str::FromStr};

use chrono::NaiveDate;
use latchkey_shared::types::{
    api_token_name::ApiTokenName, decimal, email::Email, gender::Gender, language_tag::LanguageTag,
    permission::Permission, phone_number::PhoneNumber, role_name::RoleName, username::Username,
    validation_error::Invalid,
};

use crate::http::error::{ApiError, problem::FieldError};

/// The value of a field, independent of the Content-Type.
#[derive(Debug)]
pub enum Value {
    /// JSON null.
    Null,
    /// A text.
    Text(String),
    /// A JSON number, as text.
    Number(String),
    /// A file of a multipart body.
    File(Vec<u8>),
    /// A JSON boolean.
    Flag(bool),
    /// A JSON list of texts without commas, with a comma after each.
    List(String),
    /// Other JSON: an object, or a list that is too long or contains other values.
    Other,
}

/// The fields of one request.
#[derive(Debug, Default)]
pub struct Fields {
    values: HashMap<String, Value>,
    errors: Vec<FieldError>,
}

/// An invalid field. Its error is in the [`Fields`] that it came from.
#[derive(Debug, Clone, Copy)]
pub struct InvalidField;

/// A type that a text field can be parsed into.
pub trait FromField: Sized {
    /// Maximum length of the text, in bytes. A longer one is rejected before it is parsed: Unicode's normal forms can be
    /// eleven times as long as a text. Generous, as some texts become shorter.
    const MAX_BYTES: usize;

    /// Whether surrounding whitespace belongs to the value, as in passwords.
    const PRESERVE_WHITESPACE: bool = false;

    /// Parses a text.
    fn from_field(text: &str) -> Result<Self, Invalid>;

    /// Parses a JSON number, by default like a text.
    fn from_number(number: &str) -> Result<Self, Invalid> {
        Self::from_field(number)
    }
}

/// Parses a text of at most [`FromField::MAX_BYTES`] bytes.
pub fn read<T: FromField>(text: &str) -> Result<T, Invalid> {
    if text.len() > T::MAX_BYTES {
        return Err(Invalid::new("too_long", "Too long."));
    }
    T::from_field(text)
}

macro_rules! from_str_fields {
    ($($field:ty: $bytes:expr),*) => {
        $(impl FromField for $field {
            const MAX_BYTES: usize = $bytes;

            fn from_field(text: &str) -> Result<Self, Invalid> {
                Self::from_str(text)
            }
        })*
    };
}

from_str_fields!(
    Email: 2048,
    Username: 2048,
    RoleName: 2048,
    ApiTokenName: 2048,
    PhoneNumber: 256,
    Gender: 64,
    LanguageTag: 256,
    Permission: 64
);

/// Any text.
impl FromField for String {
    const MAX_BYTES: usize = 1024;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        Ok(text.to_owned())
    }
}

macro_rules! number_fields {
    ($($field:ty),*) => {
        $(impl FromField for $field {
            const MAX_BYTES: usize = 64;

            fn from_field(text: &str) -> Result<Self, Invalid> {
                text.parse().map_err(|_| Invalid::new("invalid", "Not a whole number."))
            }
        })*
    };
}

number_fields!(i32, i64);

/// A date of birth, `YYYY-MM-DD` in the digits of any script, from 1900 on. [`Fields::date_birth`] rejects dates in the future.
impl FromField for NaiveDate {
    const MAX_BYTES: usize = 64;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        let format = || Invalid::new("invalid", "Not a date. Write it as YYYY-MM-DD.");
        let text = decimal::to_ascii(text);
        let date = Self::parse_from_str(&text, "%Y-%m-%d").map_err(|_| format())?;
        // chrono also accepts signs and whitespace.
        if date.to_string() != text {
            return Err(format());
        }
        if date < Self::from_ymd_opt(1900, 1, 1).unwrap_or_default() {
            return Err(Invalid::new("out_of_range", "Not before 1900."));
        }
        Ok(date)
    }
}

impl Fields {
    /// Creates the fields of a parsed body. Of several values with one name the last counts, as in the original.
    pub fn new(values: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self {
            values: values.into_iter().collect(),
            errors: Vec::new(),
        }
    }

    /// Removes and returns the value of a field.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name)
    }

    /// Returns whether the body has a field of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Reads a required field.
    pub fn required<T: FromField>(&mut self, name: &str) -> Result<T, InvalidField> {
        match self.values.remove(name) {
            None => Err(self.add_error(name, Invalid::new("required", "This field is required."))),
            Some(value) => self.present(name, value),
        }
    }

    /// Reads a field that may be absent, null or blank.
    pub fn optional<T: FromField>(&mut self, name: &str) -> Result<Option<T>, InvalidField> {
        Ok(self.clearable(name)?.flatten())
    }

    /// Reads a field of a change that cannot be cleared: `None` if absent.
    pub fn changed<T: FromField>(&mut self, name: &str) -> Result<Option<T>, InvalidField> {
        match self.values.remove(name) {
            None => Ok(None),
            Some(value) => self.present(name, value).map(Some),
        }
    }

    /// Reads a field of a change: `None` if absent, `Some(None)` if null or blank, which clears it.
    pub fn clearable<T: FromField>(
        &mut self,
        name: &str,
    ) -> Result<Option<Option<T>>, InvalidField> {
        match self.values.remove(name) {
            None => Ok(None),
            Some(value) if is_empty(&value) => Ok(Some(None)),
            Some(value) => self.present(name, value).map(|value| Some(Some(value))),
        }
    }

    /// Reads a boolean field of a change. A form sends `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, InvalidField> {
        let flag = match self.values.remove(name) {
            None => return Ok(None),
            Some(Value::Flag(flag)) => Some(flag),
            Some(Value::Text(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        match flag {
            Some(flag) => Ok(Some(flag)),
            None => Err(self.add_error(name, Invalid::new("type", "Must be true or false."))),
        }
    }

    /// Reads a list, which may be empty. A form sends one text with commas.
    pub fn list<T: FromField>(&mut self, name: &str) -> Result<Option<Vec<T>>, InvalidField> {
        let text = match self.values.remove(name) {
            None => return Ok(None),
            Some(Value::Text(text) | Value::Number(text) | Value::List(text)) => text,
            Some(_) => return Err(self.add_error(name, Invalid::new("type", "Must be a list."))),
        };
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(read)
            .collect::<Result<_, _>>()
            .map(Some)
            .map_err(|invalid| self.add_error(name, invalid))
    }

    /// Reads the field `dateBirth` like [`Fields::clearable`]. It must not be after `today`.
    pub fn date_birth(
        &mut self,
        today: NaiveDate,
    ) -> Result<Option<Option<NaiveDate>>, InvalidField> {
        let date = self.clearable::<NaiveDate>("dateBirth")?;
        if date.flatten().is_some_and(|date| date > today) {
            return Err(self.add_error(
                "dateBirth",
                Invalid::new("out_of_range", "Not in the future."),
            ));
        }
        Ok(date)
    }

    /// Adds the error of a field.
    pub fn add_error(&mut self, name: &str, invalid: Invalid) -> InvalidField {
        self.errors.push(FieldError::new(name, invalid));
        InvalidField
    }

    /// Returns the errors of all fields, if there are any.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(ApiError::InvalidInput(self.errors))
        }
    }

    fn present<T: FromField>(&mut self, name: &str, value: Value) -> Result<T, InvalidField> {
        let text = match value {
            Value::Text(text) => text,
            Value::Number(number) => {
                return T::from_number(&number).map_err(|invalid| self.add_error(name, invalid));
            }
            Value::Null => {
                return Err(self.add_error(name, Invalid::new("null", "May not be null.")));
            }
            Value::File(_) | Value::Flag(_) | Value::List(_) | Value::Other => {
                return Err(self.add_error(name, Invalid::new("type", "Must be a text.")));
            }
        };
        if is_blank(&text) {
            return Err(self.add_error(name, Invalid::new("blank", "May not be blank.")));
        }
        let text = if T::PRESERVE_WHITESPACE || text.len() > T::MAX_BYTES {
            text.as_str()
        } else {
            text.trim()
        };
        read(text).map_err(|invalid| self.add_error(name, invalid))
    }
}

/// Returns whether a value clears its field.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => is_blank(text),
        Value::File(bytes) => bytes.is_empty(),
        Value::Number(_) | Value::Flag(_) | Value::List(_) | Value::Other => false,
    }
}

/// Returns whether a text is blank. A text that is longer than any field counts as not blank, without a scan.
fn is_blank(text: &str) -> bool {
    text.len() <= 4096 && text.trim().is_empty()
}

/// Unreachable after [`Fields::finish`], which returns the errors themselves.
impl From<InvalidField> for ApiError {
    fn from(_: InvalidField) -> Self {
        Self::InvalidInput(Vec::new())
    }
}
