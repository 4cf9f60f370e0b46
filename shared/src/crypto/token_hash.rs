//! Secrets at rest.

use std::fmt::Write as _;

use ring::hmac;
use sea_orm::DeriveValueType;
use subtle::ConstantTimeEq as _;

use uuid::Uuid;

use crate::types::email::EmailKey;

/// The keyed hash under which a token is stored: HMAC-SHA-256 in hex. Another type than the token itself, so that
/// neither can take the other's place, and useless to whoever reads it without the key.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct TokenHash(String);

/// The key of all token hashes, derived from `SECRET_KEY`.
#[derive(Clone)]
pub struct TokenHasher(hmac::Key);

impl TokenHasher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The stored form of a token.
    #[must_use]
    pub fn hash(&self, token: &str) -> TokenHash {
        let tag = hmac::sign(&self.0, token.as_bytes());
        TokenHash(tag.as_ref().iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
    }

    /// 128 bits in hex that follow from a token of a session, and that nobody can tell without the key.
    #[must_use]
    pub fn successor(&self, session: Uuid, token: &str) -> String {
        let mut next = self.hash(&format!("successor in {session} of {token}")).0;
        next.truncate(32);
        next
    }

    /// A name for a mailbox where its address must not be read, such as in a key of Redis.
    #[must_use]
    pub fn fingerprint(&self, email: &EmailKey) -> String {
        self.hash(&format!("mailbox {}", email.as_str())).0
    }

    /// The name under which something is kept for whoever has a token.
    #[must_use]
    pub fn name(&self, token: &str) -> String {
        self.hash(&format!("name {token}")).0
    }

    /// The token of the forms that a browser with this cookie is shown.
    #[must_use]
    pub fn form_token(&self, cookie: &str) -> String {
        self.hash(&format!("form {cookie}")).0
    }

    /// Whether a form was shown to a browser with this cookie, in constant time. Without a cookie there is no such form.
    #[must_use]
    pub fn is_form_token(&self, cookie: &str, token: &str) -> bool {
        !cookie.is_empty() && equal(self.form_token(cookie).as_bytes(), token.as_bytes())
    }

    /// The token of the link that makes the first administrator.
    #[must_use]
    pub fn setup_token(&self, nonce: &str) -> String {
        self.hash(&format!("setup {nonce}")).0
    }

    /// Whether this is that token, in constant time.
    #[must_use]
    pub fn is_setup_token(&self, nonce: &str, token: &str) -> bool {
        equal(self.setup_token(nonce).as_bytes(), token.as_bytes())
    }

    /// Whether a token is the one that was stored, in constant time.
    #[must_use]
    pub fn matches(&self, token: &str, stored: &TokenHash) -> bool {
        equal(self.hash(token).0.as_bytes(), stored.0.as_bytes())
    }
}

/// Compares without telling by its duration where the difference is.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
