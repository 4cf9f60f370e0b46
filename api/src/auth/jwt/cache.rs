//! Remembers the access tokens whose signatures are verified.
//!
//! Only the signature is not verified again. The validity in time and the session are checked for each request.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use crate::auth::jwt::claims::TokenSubject;

/// Maximum number of remembered tokens. All of them take some 2 MB.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// The SHA-256 of a token. The cache holds no tokens.
pub(super) type TokenDigest = [u8; SHA256_OUTPUT_LEN];

/// The verified tokens of a set of keys.
pub(super) struct VerifiedTokens(Mutex<LruCache<TokenDigest, TokenSubject>>);

impl VerifiedTokens {
    /// Returns the key of a token.
    pub(super) fn digest(token: &str) -> TokenDigest {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        bytes
    }

    /// Returns the subject of a verified token.
    pub(super) fn get(&self, token: &TokenDigest) -> Option<TokenSubject> {
        self.lock().get(token).copied()
    }

    /// Remembers a verified token. Forgets the least recently used one when full.
    pub(super) fn insert(&self, token: TokenDigest, subject: TokenSubject) {
        self.lock().put(token, subject);
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<TokenDigest, TokenSubject>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }
}
