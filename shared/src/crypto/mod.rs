//! `SECRET_KEY`, the data keys that it seals, and keyed hashes of tokens.

use std::fmt::Write as _;

use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};

pub mod data_keys;
pub mod sealing;
pub mod secret_key;
pub mod token_hash;

/// Returns bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Returns random bytes from the operating system's generator.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    bytes
}
