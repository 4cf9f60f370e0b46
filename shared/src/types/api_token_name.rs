//! Names of API tokens.

use std::{fmt, str::FromStr};

use sea_orm::DeriveValueType;

use crate::types::{username::check_name, validation_error::Invalid};

/// The maximum length of a name, in characters.
const MAX_CHARACTERS: usize = 60;

/// The name by which the owner of an API token recognizes it: 1 to 60 characters, with the rules of a username.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
#[sea_orm(value_type = "String", from_str = "ApiTokenName::stored")]
pub struct ApiTokenName(String);

impl ApiTokenName {
    /// Reads a name from a row. It stays readable when the rules change.
    #[expect(clippy::unnecessary_wraps, reason = "the macro wants a Result")]
    fn stored(text: &str) -> Result<Self, Invalid> {
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for ApiTokenName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_name(text, MAX_CHARACTERS)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ApiTokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_has_rules_of_a_username_and_60_characters() {
        let longest = "\u{1f980}".repeat(60);
        for good in ["Nightly export", "\u{645}\u{62d}\u{645}\u{62f}", &longest] {
            assert_eq!(good.parse::<ApiTokenName>().unwrap().to_string(), good);
        }
        for (bad, code) in [
            ("", "blank"),
            ("\u{200b}", "character"),
            ("a\u{202e}b", "character"),
            ("a\nb", "control_characters"),
            (&"x".repeat(61), "too_long"),
        ] {
            let error = bad.parse::<ApiTokenName>().unwrap_err();
            assert_eq!(error.code, code, "{bad:?}");
        }
        let error = "x".repeat(61).parse::<ApiTokenName>().unwrap_err();
        assert_eq!(error.detail, "At most 60 characters.");
    }
}
