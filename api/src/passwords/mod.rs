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

/// Maximum length of a new password, in characters after NFKC. Passwords of imported accounts may be longer.
const MAX_LENGTH: usize = 128;

/// A password, normalised to NFKC so that it is the same from every keyboard, and as typed. It is never trimmed or truncated, and
/// its `Debug` output hides it.
#[derive(Clone)]
pub struct Password {
    normalized: String,
    typed: String,
}

/// The password of an existing account, as its owner enters it. It may be longer than a new one: accounts may be imported.
#[derive(Clone)]
pub struct CurrentPassword(Password);

/// A password that may be set: [`PasswordPolicy`] has accepted it.
pub struct NewPassword(Password);

impl FromStr for Password {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let CurrentPassword(password) = text.parse()?;
        if password.normalized.chars().count() > MAX_LENGTH {
            return Err(too_long());
        }
        Ok(password)
    }
}

impl FromStr for CurrentPassword {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() > Password::MAX_BYTES {
            return Err(too_long());
        }
        Ok(Self(Password {
            normalized: text.nfkc().collect(),
            typed: text.to_owned(),
        }))
    }
}

fn too_long() -> Invalid {
    Invalid::new("too_long", format!("At most {MAX_LENGTH} characters."))
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

impl CurrentPassword {
    /// Returns the bytes that are compared with a hash of this service.
    #[must_use]
    pub fn expose_to_hash(&self) -> &[u8] {
        self.0.expose_to_hash()
    }

    /// Returns the texts that are compared with a hash of another system.
    pub(in crate::passwords) fn candidates(&self) -> Vec<&str> {
        django::candidates(&self.0.typed, &self.0.normalized)
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

impl fmt::Debug for CurrentPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentPassword(…)")
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword(…)")
    }
}

#[cfg(test)]
mod tests;
