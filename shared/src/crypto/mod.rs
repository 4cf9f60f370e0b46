//! Keys derived from `SECRET_KEY`, and keyed hashes of tokens.

pub mod secret_key;
pub mod token_hash;
