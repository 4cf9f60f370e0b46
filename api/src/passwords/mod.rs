//! Passwords: normalisation, hashing, and the rules for new ones (NIST SP 800-63B-4, 3.1.1.2; OWASP ASVS 5.0, 6.2).

use std::{collections::BTreeSet, fmt, str::FromStr};

use latchkey_shared::types::validation_error::Invalid;
use unicode_normalization::UnicodeNormalization as _;

pub mod breached;
mod common;
mod dates;
pub mod django;
mod form_field;
pub mod hash_threads;
pub mod hasher;
pub mod metrics;
pub mod policy;
mod sequences;
mod similarity;
mod variations;

pub use crate::passwords::policy::PasswordPolicy;
pub use crate::passwords::similarity::Owner;

/// Maximum length of a password, in characters after NFKC.
const MAX_LENGTH: usize = 128;

/// A password, normalised to NFKC so that it is the same from every keyboard, and as typed. It is never trimmed or truncated, and
/// its `Debug` output hides it.
pub struct Password {
    normalized: String,
    typed: String,
}

/// A password that may be set: [`PasswordPolicy`] has accepted it.
pub struct NewPassword(Password);

impl FromStr for Password {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let too_long = || Invalid::new("too_long", format!("At most {MAX_LENGTH} characters."));
        if text.len() > Self::MAX_BYTES {
            return Err(too_long());
        }
        let password: String = text.nfkc().collect();
        if password.chars().count() > MAX_LENGTH {
            return Err(too_long());
        }
        Ok(Self {
            normalized: password,
            typed: text.to_owned(),
        })
    }
}

impl Password {
    /// Maximum length of a text before NFKC, in bytes: NFKC composes a character of at most four, each of at most 4 bytes.
    pub const MAX_BYTES: usize = 4 * 4 * MAX_LENGTH;

    /// Returns the bytes to hash.
    #[must_use]
    pub fn expose_to_hash(&self) -> &[u8] {
        self.normalized.as_bytes()
    }

    /// Returns the password in NFKC, as typed, in NFC and in NFD: the texts that may be in a breach.
    fn breached_texts(&self) -> BTreeSet<String> {
        let typed = &self.typed;
        let composed = typed.nfc().collect();
        let decomposed = typed.nfd().collect();
        BTreeSet::from([self.normalized.clone(), typed.clone(), composed, decomposed])
    }
}

impl NewPassword {
    /// Returns the password, to hash it.
    #[must_use]
    pub fn into_inner(self) -> Password {
        self.0
    }

    /// Skips the policy.
    #[cfg(test)]
    pub(crate) fn unjudged(text: &str) -> Self {
        Self(text.parse().expect("a password"))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword(…)")
    }
}

#[cfg(test)]
mod tests;
