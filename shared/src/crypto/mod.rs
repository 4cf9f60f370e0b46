//! Keys derived from `SECRET_KEY`, and keyed hashes of tokens.

use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};

pub mod secret_key;
pub mod token_hash;

/// Returns random bytes from the operating system's generator.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    bytes
}
