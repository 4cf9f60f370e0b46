//! Genders: the two values of the API. An absent value is `None`.

use std::{fmt, str::FromStr};

use sea_orm::DeriveValueType;

use crate::types::validation_error::Invalid;

/// `male` or `female`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub enum Gender {
    /// `male`
    Male,
    /// `female`
    Female,
}

impl FromStr for Gender {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "male" => Ok(Self::Male),
            "female" => Ok(Self::Female),
            _ => Err(Invalid::new("choice", "One of male, female.")),
        }
    }
}

impl fmt::Display for Gender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Male => "male",
            Self::Female => "female",
        })
    }
}
