//! What people are called.

use std::{fmt, str::FromStr};

use sea_orm::DeriveValueType;

use crate::invalid::{Invalid, no_control_characters};

/// A name of 1 to 45 characters; not unique, any script.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct Username(String);

impl Username {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        no_control_characters(text)?;
        match text.chars().count() {
            0 => Err(Invalid::new("blank", "May not be blank.")),
            1..=45 => Ok(Self(text.to_owned())),
            _ => Err(Invalid::new("too_long", "At most 45 characters.")),
        }
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
