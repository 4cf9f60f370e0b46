//! Authenticated encryption of small values that are stored outside this process.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::crypto::random_bytes;

/// Encrypts values with ChaCha20-Poly1305 (RFC 8439). A sealed value is a random nonce of 12 bytes, the ciphertext, and a tag of 16
/// bytes. It is bound to a context, such as the id of its row: it cannot be opened in another row.
#[derive(Clone)]
pub struct Seal(LessSafeKey);

/// A value was changed, belongs to another context, or was sealed with another key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a sealed value cannot be opened with this key")]
pub struct OpenError;

impl Seal {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let key =
            UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key has the cipher's length");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts a value.
    ///
    /// # Panics
    /// If the value is longer than 256 GiB.
    #[must_use]
    pub fn seal(&self, context: &[u8], value: &[u8]) -> Vec<u8> {
        let nonce = random_bytes::<NONCE_LEN>();
        let mut sealed = value.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut sealed,
            )
            .expect("the value is shorter than the cipher's maximum");
        [&nonce[..], &sealed].concat()
    }

    /// Decrypts a value that was sealed in this context.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(OpenError)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut value = sealed.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(context), &mut value);
        let length = opened.map_err(|_| OpenError)?.len();
        value.truncate(length);
        Ok(value)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_value_opens_only_unchanged_in_its_context() {
        let seal = Seal::new(&[7; 32]);
        let sealed = seal.seal(b"row 1", b"a secret");
        assert_eq!(seal.open(b"row 1", &sealed).unwrap(), b"a secret");
        assert_ne!(sealed, seal.seal(b"row 1", b"a secret"), "a new nonce");
        assert!(seal.open(b"row 2", &sealed).is_err());
        assert!(Seal::new(&[8; 32]).open(b"row 1", &sealed).is_err());
        for end in [0, 5, NONCE_LEN, sealed.len() - 1] {
            assert!(seal.open(b"row 1", &sealed[..end]).is_err(), "{end} bytes");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal.open(b"row 1", &changed).is_err(), "byte {at}");
        }
    }
}
