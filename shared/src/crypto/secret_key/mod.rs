//! `SECRET_KEY`, from which all other keys are derived.

use std::{fmt, str::FromStr};

use ring::hmac;

use crate::{
    crypto::token_hash::TokenHasher, models::audit::AuditKey, redis::one_time_code::CodeSeal,
};

mod strength;

/// The minimum length of `SECRET_KEY` in production, in bytes: the length of the hash that it keys (RFC 7518, 3.2).
pub const MIN_BYTES: usize = 32;

/// The value of `SECRET_KEY`. It signs JWTs directly, because services that verify the original's tokens have it. All other keys
/// are derived from it (HMAC-SHA-256 of their purpose), one for each purpose.
#[derive(Clone)]
pub struct SecretKey(String);

impl SecretKey {
    /// Returns the raw bytes, only for signing JWTs.
    #[must_use]
    pub fn expose_for_jwt(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Returns the length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty key cannot be made")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the key can be guessed: few distinct bytes, repetitions, sequences or words. Keys of `openssl rand` never
    /// can.
    #[must_use]
    pub fn is_guessable(&self) -> bool {
        strength::is_guessable(self.0.as_bytes())
    }

    /// Returns the hasher of refresh tokens and reset tokens.
    #[must_use]
    pub fn token_hasher(&self) -> TokenHasher {
        TokenHasher::new(&self.derive(b"latchkey token hash v1"))
    }

    /// Returns the key of the audit log.
    #[must_use]
    pub fn audit_key(&self) -> AuditKey {
        AuditKey::new(&self.derive(b"latchkey audit log v1"))
    }

    /// Returns the key that encrypts one-time codes.
    #[must_use]
    pub fn code_seal(&self) -> CodeSeal {
        CodeSeal::new(&self.derive(b"latchkey one-time code v1"))
    }

    fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes()),
            purpose,
        );
        let mut key = [0; 32];
        key.copy_from_slice(tag.as_ref());
        key
    }
}

impl FromStr for SecretKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err("may not be empty");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}
