//! The state of a form on a page: values and errors.

use std::collections::HashMap;

use crate::admin::dashboard::{csrf::Form, i18n::Texts};
use crate::http::error::ApiError;

/// The values and errors of a form.
#[derive(Clone, Debug, Default)]
pub struct FormState {
    values: HashMap<String, String>,
    errors: Vec<(String, String)>,
    /// An error of the form as a whole.
    pub problem: Option<String>,
    /// The version of the row that the form was made from.
    pub version: i32,
    /// After an edit conflict: the stored values that differ from the entered ones.
    pub stored: Vec<StoredValue>,
}

/// The stored value of a field after an edit conflict.
#[derive(Clone, Debug)]
pub struct StoredValue {
    /// The label of the field.
    pub label: String,
    /// The value.
    pub value: String,
}

impl FormState {
    /// Creates a form with these values.
    pub fn new(values: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self {
            values: values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            ..Self::default()
        }
    }

    /// Keeps these fields of a submitted form. Passwords are never among them.
    #[must_use]
    pub fn from_form(form: &Form, names: &[&'static str]) -> Self {
        Self::new(names.iter().map(|name| (*name, form.text(name))))
    }

    /// Adds a checkbox.
    pub fn add_checkbox(&mut self, name: String, is_checked: bool) {
        let value = if is_checked { "on" } else { "" };
        self.values.insert(name, value.to_owned());
    }

    /// Returns the value of a field, or an empty string.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// Returns whether a checkbox is checked.
    #[must_use]
    pub fn is_checked(&self, name: &str) -> bool {
        !self.value(name).is_empty()
    }

    /// Returns the error of a field.
    #[must_use]
    pub fn error(&self, name: &str) -> Option<&str> {
        self.errors
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, error)| error.as_str())
    }

    /// Returns whether there are no errors.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.problem.is_none() && self.errors.is_empty()
    }

    /// Adds an error to a field.
    pub fn add_error(&mut self, name: &str, error: &str) {
        self.errors.push((name.to_owned(), error.to_owned()));
    }

    /// Adds the error of a request, to the fields that it names or else to the form.
    #[must_use]
    pub fn with_error(mut self, t: &Texts, error: &ApiError) -> Self {
        match error {
            ApiError::InvalidInput(errors) => {
                let errors = errors
                    .iter()
                    .map(|error| (error.field.clone(), t.field(error)));
                self.errors.extend(errors);
            }
            ApiError::EmailTaken => self.add_error("email", t.error_email_taken),
            ApiError::InvalidOtp => self.add_error("otp", t.error_invalid_code),
            ApiError::InvalidSecondFactor(clock) => {
                self.add_error("code", &t.wrong_factor(*clock));
            }
            ApiError::WrongPassword => self.add_error("password", t.wrong_password),
            ApiError::TooManyRequests(too_many) => {
                let seconds = too_many.retry_after.to_string();
                self.problem = Some(t.too_many_attempts.replace("{n}", &seconds));
            }
            other => self.problem = Some(t.error(other).to_owned()),
        }
        self
    }
}
