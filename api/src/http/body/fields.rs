//! The fields of a request: taken loosely, judged all together.
//!
//! A handler asks for each field by name and type. Whatever is wrong is noted and the asking goes on; the first `?` after
//! [`Fields::finish`] ends the call with every fault at once.

use std::{collections::HashMap, str::FromStr};

use chrono::NaiveDate;
use latchkey_shared::types::{
    email::Email, gender::Gender, permission::Permission, phone_number::PhoneNumber,
    username::Username, validation_error::Invalid,
};

use crate::http::error::{ApiError, problem::FieldError};

/// A field as it came, whatever the Content-Type was.
#[derive(Debug)]
pub enum Value {
    /// JSON's null.
    Null,
    /// A text.
    Text(String),
    /// A JSON number, in digits.
    Number(String),
    /// A file of a multipart body.
    File(Vec<u8>),
    /// JSON's true or false.
    Flag(bool),
    /// A JSON list of texts, each with a comma after it. None of them has one inside.
    List(String),
    /// Other JSON: an object, a list of more than texts, or a longer one than is ever asked for.
    Other,
}

/// The fields of one request.
#[derive(Debug, Default)]
pub struct Fields {
    values: HashMap<String, Value>,
    errors: Vec<FieldError>,
}

/// A field that was bad; what is wrong with it is noted in the [`Fields`] it came from.
#[derive(Debug, Clone, Copy)]
pub struct InvalidField;

/// What a text field can be read as.
pub trait FromField: Sized {
    /// The longest text that is read, in bytes. A longer one is refused before anything is made of it: Unicode's
    /// normal forms can be eleven times as long as a text. Generous, as some texts become shorter.
    const MAX_BYTES: usize;

    /// Whether blanks around it belong to it. Only to a password they do.
    const PRESERVE_WHITESPACE: bool = false;

    /// Reads it.
    ///
    /// # Errors
    /// When the text is not what it should be.
    fn from_field(text: &str) -> Result<Self, Invalid>;

    /// Reads a JSON number, for most fields as if it were a text.
    ///
    /// # Errors
    /// When the number is not what it should be.
    fn from_number(number: &str) -> Result<Self, Invalid> {
        Self::from_field(number)
    }
}

/// Reads a text that is no longer than such a field can be.
///
/// # Errors
/// When the text is too long, or not what it should be.
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
    PhoneNumber: 256,
    Gender: 64,
    Permission: 64
);

/// Any text that is not blank.
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

/// A date of birth, `YYYY-MM-DD`, from 1900 on. That it is not in the future is judged by [`Fields::date_birth`], which
/// knows the day.
impl FromField for NaiveDate {
    const MAX_BYTES: usize = 64;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        let format = || Invalid::new("invalid", "Not a date. Write it as YYYY-MM-DD.");
        let date = Self::parse_from_str(text, "%Y-%m-%d").map_err(|_| format())?;
        // chrono takes signs and blanks, too.
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
    /// The fields of a parsed body. Of a name that comes twice the last counts, as in the original.
    pub fn new(values: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self {
            values: values.into_iter().collect(),
            errors: Vec::new(),
        }
    }

    /// Removes and returns a field as it came.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name)
    }

    /// A field that has to be there.
    ///
    /// # Errors
    /// When it is absent, blank or wrong.
    pub fn required<T: FromField>(&mut self, name: &str) -> Result<T, InvalidField> {
        match self.values.remove(name) {
            None => Err(self.note(name, Invalid::new("required", "This field is required."))),
            Some(value) => self.present(name, value),
        }
    }

    /// A field that may be absent, null or blank.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn optional<T: FromField>(&mut self, name: &str) -> Result<Option<T>, InvalidField> {
        Ok(self.clearable(name)?.flatten())
    }

    /// A field of a change that keeps its value when absent and can't be cleared.
    ///
    /// # Errors
    /// When it is null, blank or wrong.
    pub fn changed<T: FromField>(&mut self, name: &str) -> Result<Option<T>, InvalidField> {
        match self.values.remove(name) {
            None => Ok(None),
            Some(value) => self.present(name, value).map(Some),
        }
    }

    /// A field of a change: `None` when absent, `Some(None)` when null or blank, which clears it.
    ///
    /// # Errors
    /// When it is wrong.
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

    /// A field of a change that is true or false, in a form as these words.
    ///
    /// # Errors
    /// When it is neither.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, InvalidField> {
        let flag = match self.values.remove(name) {
            None => return Ok(None),
            Some(Value::Flag(flag)) => Some(flag),
            Some(Value::Text(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        match flag {
            Some(flag) => Ok(Some(flag)),
            None => Err(self.note(name, Invalid::new("type", "Has to be true or false."))),
        }
    }

    /// A list of texts, in a form one text with commas between them. It may be empty.
    ///
    /// # Errors
    /// When it is no list, or anything in it is wrong.
    pub fn list<T: FromField>(&mut self, name: &str) -> Result<Option<Vec<T>>, InvalidField> {
        let text = match self.values.remove(name) {
            None => return Ok(None),
            Some(Value::Text(text) | Value::Number(text) | Value::List(text)) => text,
            Some(_) => return Err(self.note(name, Invalid::new("type", "Has to be a list."))),
        };
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(read)
            .collect::<Result<_, _>>()
            .map(Some)
            .map_err(|invalid| self.note(name, invalid))
    }

    /// The field `dateBirth`, like [`Fields::clearable`], not after `today`.
    ///
    /// # Errors
    /// When it is no date, or none that a living person can have been born on.
    pub fn date_birth(
        &mut self,
        today: NaiveDate,
    ) -> Result<Option<Option<NaiveDate>>, InvalidField> {
        let date = self.clearable::<NaiveDate>("dateBirth")?;
        if date.flatten().is_some_and(|date| date > today) {
            return Err(self.note(
                "dateBirth",
                Invalid::new("out_of_range", "Not in the future."),
            ));
        }
        Ok(date)
    }

    /// Notes a fault that showed only beside other fields.
    pub fn note(&mut self, name: &str, invalid: Invalid) -> InvalidField {
        self.errors.push(FieldError::new(name, invalid));
        InvalidField
    }

    /// Ends the asking.
    ///
    /// # Errors
    /// When any field was bad, with all of them.
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
                return T::from_number(&number).map_err(|invalid| self.note(name, invalid));
            }
            Value::Null => return Err(self.note(name, Invalid::new("null", "May not be null."))),
            Value::File(_) | Value::Flag(_) | Value::List(_) | Value::Other => {
                return Err(self.note(name, Invalid::new("type", "Has to be a text.")));
            }
        };
        if is_blank(&text) {
            return Err(self.note(name, Invalid::new("blank", "May not be blank.")));
        }
        let text = if T::PRESERVE_WHITESPACE || text.len() > T::MAX_BYTES {
            text.as_str()
        } else {
            text.trim()
        };
        read(text).map_err(|invalid| self.note(name, invalid))
    }
}

/// Whether a value stands for an empty field.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => is_blank(text),
        Value::File(bytes) => bytes.is_empty(),
        Value::Number(_) | Value::Flag(_) | Value::List(_) | Value::Other => false,
    }
}

/// Whether a text is blank. One that is longer than any field counts as a text.
fn is_blank(text: &str) -> bool {
    text.len() <= 4096 && text.trim().is_empty()
}

/// A bad field that nobody finished with. [`Fields::finish`] comes first and says more.
impl From<InvalidField> for ApiError {
    fn from(_: InvalidField) -> Self {
        Self::InvalidInput(Vec::new())
    }
}
