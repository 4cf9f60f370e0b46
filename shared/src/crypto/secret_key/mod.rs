//! `SECRET_KEY`, which seals the data keys.

use std::{fmt, str::FromStr};

use ring::hmac;

use crate::crypto::{hex, sealing::Seal};

mod strength;

/// The minimum length of `SECRET_KEY` in production, in bytes: the length of the hash that it keys (RFC 7518, 3.2).
pub const MIN_BYTES: usize = 32;

/// The value of `SECRET_KEY`. It protects nothing but the data keys, so that it can be changed.
#[derive(Clone)]
pub struct SecretKey(String);

impl SecretKey {
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

    /// Returns a name of the key that does not reveal it: 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.derive(b"latchkey key id v1")[..8])
    }

    /// Returns the key that seals the data keys.
    pub(crate) fn data_key_seal(&self) -> Seal {
        Seal::new(&self.derive(b"latchkey data keys v1"))
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
