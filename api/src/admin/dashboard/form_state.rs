//! A form as it is shown: what is in it, and what is wrong with it.

use std::collections::HashMap;

use crate::admin::dashboard::{csrf::Form, i18n::Texts};
use crate::http::error::ApiError;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct FormState {
    values: HashMap<String, String>,
    errors: Vec<(String, String)>,
    /// What is wrong with all of it.
    pub problem: Option<String>,
    /// The version of what was read.
    pub version: i32,
    /// What somebody else has stored meanwhile.
    pub theirs: Vec<StoredValue>,
}

/// A field that somebody else has changed.
#[derive(Clone, Debug)]
pub struct StoredValue {
    /// What it is called.
    pub label: &'static str,
    /// What is stored now.
    pub value: String,
}

impl FormState {
    /// A form with these values.
    pub fn with(values: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self {
            values: values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            ..Self::default()
        }
    }

    /// A form as it was sent, these fields of it. No password is among them: it is typed anew.
    #[must_use]
    pub fn again(form: &Form, names: &[&'static str]) -> Self {
        Self::with(names.iter().map(|name| (*name, form.text(name))))
    }

    /// The text of a field.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// Whether a box is ticked.
    #[must_use]
    pub fn is_ticked(&self, name: &str) -> bool {
        !self.value(name).is_empty()
    }

    /// What is wrong with a field.
    #[must_use]
    pub fn error(&self, name: &str) -> Option<&str> {
        self.errors
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, error)| error.as_str())
    }

    /// Whether nothing is wrong with it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problem.is_none() && self.errors.is_empty()
    }

    /// Notes what is wrong with a field.
    pub fn object(&mut self, name: &str, error: &str) {
        self.errors.push((name.to_owned(), error.to_owned()));
    }

    /// Notes what was refused, at its fields where it names any.
    #[must_use]
    pub fn refused(mut self, t: &Texts, error: &ApiError) -> Self {
        match error {
            ApiError::InvalidInput(errors) => {
                let errors = errors
                    .iter()
                    .map(|error| (error.field.clone(), t.field(error)));
                self.errors.extend(errors);
            }
            ApiError::EmailTaken => self
                .errors
                .push(("email".to_owned(), t.error_email_taken.to_owned())),
            ApiError::WrongPassword => self
                .errors
                .push(("password".to_owned(), t.wrong_password.to_owned())),
            ApiError::TooManyRequests(too_many) => {
                self.problem = Some(format!("{} {}", t.too_many, too_many.retry_after));
            }
            other => self.problem = Some(t.error(other).to_owned()),
        }
        self
    }
}
