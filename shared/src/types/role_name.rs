//! Names of roles.

use std::{fmt, str::FromStr};

use sea_orm::DeriveValueType;

use crate::types::{username::Username, validation_error::Invalid};

/// The name of a role, with the rules of a username. Unique without regard to the case of ASCII letters.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String")]
pub struct RoleName(String);

impl FromStr for RoleName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name: Username = text.parse()?;
        Ok(Self(name.as_str().to_owned()))
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
