//! The texts of tokens, and their ids.

use std::{fmt, str::FromStr};

use crate::http::body::fields::FromField;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_shared::{
    crypto::{random_bytes, token_hash::TokenHasher},
    types::validation_error::Invalid,
};
use uuid::Uuid;

/// Maximum length of a token, in bytes. Longer ones are refused without verification.
pub const MAX_BYTES: usize = 2_048;

macro_rules! secret_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(pub(super) String);

        impl $name {
            /// Returns the text of the token.
            #[must_use]
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                if text.len() > MAX_BYTES {
                    return Err(Invalid::new("too_long", "Too long for a token."));
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret_text!(
    /// A token for the `Authorization` header.
    AccessToken
);
secret_text!(
    /// A token that renews an access token.
    RefreshToken
);
secret_text!(
    /// The token of a one-time code request: 256 random bits.
    ResetToken
);

impl ResetToken {
    /// Generates a token with the operating system's generator.
    #[must_use]
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random_bytes::<32>()))
    }
}

/// The id of a token (`jti`): 32 hex digits. The id of the refresh token is the session's secret.
#[derive(Clone)]
pub struct TokenId(pub(super) String);

impl TokenId {
    /// Generates 128 bits with the operating system's generator.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::from_bytes(random_bytes()).simple().to_string())
    }

    /// Returns the id of the next token of a session. It depends only on this id, the session and the key, so that the current
    /// token can be derived from a replaced one.
    #[must_use]
    pub fn successor(&self, hasher: &TokenHasher, session: Uuid) -> Self {
        Self(hasher.successor(session, &self.0))
    }

    /// Returns the text of the id, to hash it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromField for RefreshToken {
    const MAX_BYTES: usize = MAX_BYTES;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl FromField for ResetToken {
    const MAX_BYTES: usize = MAX_BYTES;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        text.parse()
    }
}
