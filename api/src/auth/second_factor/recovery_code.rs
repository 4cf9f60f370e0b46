//! Recovery codes: 60 random bits in three groups of four letters and digits.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use latchkey_shared::{
    crypto::{
        random_bytes,
        token_hash::{TokenHash, TokenHasher},
    },
    types::{decimal, validation_error::Invalid},
};

use crate::http::body::fields::FromField;

/// The number of codes that an account gets.
pub const COUNT: usize = 10;

/// The number of characters of a code.
const LENGTH: usize = 12;

/// A code that replaces another second factor once. `Debug` hides it.
#[derive(Clone)]
pub struct RecoveryCode(String);

impl RecoveryCode {
    /// Generates a code with the operating system's generator.
    pub fn generate() -> Self {
        let mut text = BASE32_NOPAD.encode(&random_bytes::<8>()).to_lowercase();
        text.truncate(LENGTH);
        Self(text)
    }

    /// Returns the text for the owner: `abcd-efgh-ijkl`.
    pub fn expose(&self) -> String {
        let (first, rest) = self.0.split_at(4);
        let (second, third) = rest.split_at(4);
        format!("{first}-{second}-{third}")
    }

    /// Returns the stored hash. It is bound to the account.
    pub fn hash(&self, hasher: &TokenHasher, user_id: i64) -> TokenHash {
        hasher.hash(&format!("recovery {user_id} {}", self.0))
    }
}

impl FromField for RecoveryCode {
    const MAX_BYTES: usize = 256;

    /// Parses a code in upper or lower case, with any blanks and hyphens. Digits that look like a letter of the alphabet are that letter.
    fn from_field(text: &str) -> Result<Self, Invalid> {
        let code: String = text
            .chars()
            .filter(|c| !(c.is_whitespace() || decimal::is_dash(*c) || decimal::is_invisible(*c)))
            .map(|c| match c.to_ascii_lowercase() {
                '0' => 'o',
                '1' => 'l',
                '8' => 'b',
                c => c,
            })
            .collect();
        let is_valid = |c: u8| matches!(c, b'a'..=b'z' | b'2'..=b'7');
        if code.len() != LENGTH || !code.bytes().all(is_valid) {
            return Err(Invalid::new(
                "invalid",
                "A recovery code has 12 letters and digits.",
            ));
        }
        Ok(Self(code))
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_code_is_read_in_every_case_and_grouping() {
        let code = RecoveryCode::generate();
        let shown = code.expose();
        assert_eq!(shown.len(), 14);
        for typed in [
            shown.clone(),
            shown.to_uppercase(),
            shown.replace('-', " "),
            shown.replace('-', ""),
            shown.replace('-', "\u{2011}"),
            format!(" {shown}\u{200e}"),
            shown.replace('o', "0").replace('l', "1").replace('b', "8"),
        ] {
            assert_eq!(
                RecoveryCode::from_field(&typed).unwrap().0,
                code.0,
                "{typed}"
            );
        }
        for wrong in [
            "",
            "abcd-efgh-ijk",
            "abcd-efgh-ijkl-m",
            "abcd_efgh_ijkl",
            "äbcd-efgh-ijk",
        ] {
            assert!(RecoveryCode::from_field(wrong).is_err(), "{wrong}");
        }
    }
}
