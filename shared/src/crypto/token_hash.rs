//! Keyed hashes of tokens.

use ring::hmac;
use sea_orm::DeriveValueType;
use subtle::ConstantTimeEq as _;

use uuid::Uuid;

use crate::{crypto::hex, types::email::EmailKey};

/// The stored hash of a token: HMAC-SHA-256 in hexadecimal digits. Useless without the key. It has its own type, so that it cannot
/// be mistaken for a token.
#[derive(Clone, Debug, PartialEq, Eq, DeriveValueType)]
pub struct TokenHash(String);

/// Hashes tokens with a data key.
#[derive(Clone)]
pub struct TokenHasher(hmac::Key);

impl TokenHasher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Returns the stored hash of a token.
    #[must_use]
    pub fn hash(&self, token: &str) -> TokenHash {
        TokenHash(hex(hmac::sign(&self.0, token.as_bytes()).as_ref()))
    }

    /// Derives the next token of a session from its current one: 128 bits in hexadecimal digits, unpredictable without the key.
    #[must_use]
    pub fn successor(&self, session: Uuid, token: &str) -> String {
        let mut next = self.hash(&format!("successor in {session} of {token}")).0;
        next.truncate(32);
        next
    }

    /// Returns the name of a token, for data that is stored for its bearer.
    #[must_use]
    pub fn name(&self, token: &str) -> String {
        self.hash(&format!("name {token}")).0
    }

    /// Returns the CSRF token for a browser with this cookie.
    #[must_use]
    pub fn form_token(&self, cookie: &str) -> String {
        self.hash(&format!("form {cookie}")).0
    }

    /// Verifies a CSRF token in constant time. An empty cookie has no valid token.
    #[must_use]
    pub fn is_form_token(&self, cookie: &str, token: &str) -> bool {
        !cookie.is_empty() && equal(self.form_token(cookie).as_bytes(), token.as_bytes())
    }

    /// Returns the token in the link that creates the first superuser.
    #[must_use]
    pub fn setup_token(&self, nonce: &str) -> String {
        self.hash(&format!("setup {nonce}")).0
    }

    /// Verifies a setup token in constant time.
    #[must_use]
    pub fn is_setup_token(&self, nonce: &str, token: &str) -> bool {
        equal(self.setup_token(nonce).as_bytes(), token.as_bytes())
    }

    /// Returns the token in the link that cancels a change of an email.
    #[must_use]
    pub fn cancel_token(&self, request: Uuid) -> String {
        let mac = self.hash(&format!("cancel {request}")).0;
        format!("{}{mac}", request.simple())
    }

    /// Returns the request of a token in such a link. Verifies the token in constant time.
    #[must_use]
    pub fn request_of_cancel_token(&self, token: &str) -> Option<Uuid> {
        let request = Uuid::try_parse(token.get(..32)?).ok()?;
        equal(self.cancel_token(request).as_bytes(), token.as_bytes()).then_some(request)
    }

    /// Verifies a token against its stored hash in constant time.
    #[must_use]
    pub fn matches(&self, token: &str, stored: &TokenHash) -> bool {
        equal(self.hash(token).0.as_bytes(), stored.0.as_bytes())
    }
}

/// Names emails without revealing them.
#[derive(Clone)]
pub struct Fingerprints(TokenHasher);

impl Fingerprints {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(TokenHasher::new(key))
    }

    /// Returns the fingerprint of a mailbox, for places that must not reveal its address, such as keys of Redis.
    #[must_use]
    pub fn of_mailbox(&self, email: &EmailKey) -> String {
        self.0.hash(&format!("mailbox {}", email.as_str())).0
    }

    /// Returns the fingerprint of a value that an account was imported with: the first 64 bits. `column` tells its columns apart.
    #[must_use]
    pub fn of_imported(&self, user_id: i64, column: u8, value: &str) -> [u8; 8] {
        let mut context = hmac::Context::with_key(&self.0.0);
        context.update(b"imported ");
        context.update(&user_id.to_be_bytes());
        context.update(&[column]);
        context.update(value.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&context.sign().as_ref()[..8]);
        first
    }

    /// Returns the fingerprint of a value of a named field.
    #[must_use]
    pub fn of_field(&self, name: &str, value: &str) -> String {
        self.0.hash(&format!("field {name} {value}")).0
    }
}

/// Compares two values in constant time.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
