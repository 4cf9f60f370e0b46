//! Password hashes in Django's format, in which `latchkey-api import` stores them.
//!
//! The original let every user write any text into its password column, so a stored hash is hostile input. [`DjangoHash::parse`]
//! accepts exactly the texts that Django writes, and refuses the costly ones before anything is computed. A successful login
//! replaces the hash by one of argon2id (see [`PasswordHasher`](super::hasher::PasswordHasher)).
//!
//! Argon2 PHC strings (`$argon2id$…`) and bcrypt hashes (`$2b$…`) from another system are stored in Django's format, which begins
//! with the name of the function (see [`from_common_format`]).

use subtle::ConstantTimeEq as _;

mod dearest;
mod parse;
pub(super) mod scheme;
mod strip;

pub use dearest::{Dearest, OldHashes};
use scheme::Scheme;
pub use strip::python_strip;

/// Maximum length of a hash, in bytes. Django's column has 128 characters.
pub const MAX_LENGTH: usize = 512;

/// Maximum length of a salt, in bytes.
pub const MAX_SALT_LENGTH: usize = 128;

/// Maximum number of PBKDF2 rounds: twice those of Django 5.2, and under half a second of CPU time.
pub const MAX_PBKDF2_ROUNDS: u32 = 2_000_000;

/// Maximum memory of argon2, in KiB.
pub const MAX_ARGON2_MEMORY_KIB: u32 = 256 * 1_024;

/// Maximum number of argon2 passes.
pub const MAX_ARGON2_PASSES: u32 = 10;

/// Maximum number of argon2 lanes.
pub const MAX_ARGON2_LANES: u32 = 16;

/// Maximum product of argon2's memory in KiB and its passes: five times Django's, and about a second of CPU time.
pub const MAX_ARGON2_WORK: u64 = 1_024 * 1_024;

/// Maximum product of scrypt's cost (N) and its block size (r): 32 MiB.
pub const MAX_SCRYPT_BLOCKS: u64 = 1 << 18;

/// Maximum parallelism (p) of scrypt.
pub const MAX_SCRYPT_PARALLELISM: u32 = 16;

/// Maximum product of scrypt's N, r and p: 1.6 times Django's, and about a second of CPU time.
pub const MAX_SCRYPT_WORK: u64 = 1 << 20;

/// Maximum cost of bcrypt, the binary logarithm of its rounds.
pub const MAX_BCRYPT_COST: u32 = 14;

/// A password hash that Django wrote, with a bounded cost.
pub struct DjangoHash {
    pub(super) scheme: Scheme,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

impl DjangoHash {
    /// Returns whether a password matches, as Django decides: over its UTF-8 bytes, which are not normalised.
    pub(super) fn matches(&self, password: &str) -> bool {
        let mut digest = vec![0; self.digest.len()];
        self.scheme
            .compute(password.as_bytes(), &self.salt, &mut digest);
        let is_equal: bool = digest.ct_eq(&self.digest).into();
        is_equal && !self.scheme.refuses(password)
    }
}

/// Returns the texts that another system may have hashed for a password: as typed, without the whitespace that the original's API
/// removed, and in NFKC, as another installation of Latchkey hashes it.
pub(super) fn candidates<'a>(typed: &'a str, normalized: &'a str) -> Vec<&'a str> {
    let stripped = python_strip(typed);
    let is_other = !stripped.is_empty() && stripped != typed;
    let is_normalized = normalized != typed && normalized != stripped;
    [
        Some(typed),
        is_other.then_some(stripped),
        is_normalized.then_some(normalized),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Converts a hash in the common format of other systems to Django's format. Returns any other text unchanged.
#[must_use]
pub fn from_common_format(text: String) -> String {
    let is = |prefix| text.starts_with(prefix);
    if is("$argon2") {
        format!("argon2{text}")
    } else if is("$2a$") || is("$2b$") || is("$2y$") {
        format!("bcrypt${text}")
    } else {
        text
    }
}

/// Converts a stored hash to the common format of other systems, if there is one. The reverse of [`from_common_format`].
#[must_use]
pub fn to_common_format(stored: &str) -> &str {
    let phc = stored
        .strip_prefix("argon2")
        .filter(|phc| phc.starts_with("$argon2"));
    let bcrypt = || {
        stored
            .strip_prefix("bcrypt$")
            .filter(|text| text.starts_with("$2"))
    };
    phc.or_else(bcrypt).unwrap_or(stored)
}

/// Why a text is not accepted as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DjangoHashError {
    /// No password matches the text: clear text, a torn hash, an unknown function such as MD5, an account without a password.
    #[error("no password hash of a supported kind")]
    Unusable,
    /// The hash costs more CPU time or memory than a login may.
    #[error("the password hash is too costly to verify")]
    TooCostly,
}

#[cfg(test)]
mod tests;
