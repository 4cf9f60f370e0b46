//! The claims of tokens, in the order of djangorestframework-simplejwt.

use chrono::{DateTime, Utc};
use latchkey_shared::models::user;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The purpose of a token. A token of one type is never accepted as the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokenType {
    /// For the `Authorization` header.
    Access,
    /// For `/auth/refresh/`.
    Refresh,
}

/// The claims of both types.
#[derive(Serialize, Deserialize)]
pub(super) struct SharedClaims {
    pub(super) token_type: TokenType,
    pub(super) exp: i64,
    /// The time from which the token is valid (RFC 7519, 4.1.5), in Unix seconds. Never issued, but honoured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<i64>,
    pub(super) iat: i64,
    pub(super) jti: String,
    pub(super) user_id: i64,
    pub(super) sid: Uuid,
}

/// The claims of an access token, which other services read, too.
#[derive(Serialize, Deserialize)]
pub(super) struct AccessClaims {
    #[serde(flatten)]
    pub(super) shared: SharedClaims,
    /// `PUBLIC_URL` without a trailing slash.
    pub(super) iss: String,
    /// `TOKEN_AUDIENCE`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<String>,
    /// `user_id` as text, as RFC 7519, 4.1.2, requires.
    pub(super) sub: String,
    /// Whether the owner has confirmed the account's email (OpenID Connect Core 1.0, 5.1).
    #[serde(default)]
    pub(super) email_verified: bool,
}

/// What an access token says about an account.
#[derive(Clone, Copy, Debug)]
pub struct TokenOwner {
    /// The account.
    pub user_id: i64,
    /// Whether its email is confirmed.
    pub email_verified: bool,
}

impl TokenOwner {
    /// Describes an account.
    #[must_use]
    pub fn of(user: &user::Model) -> Self {
        Self {
            user_id: user.id,
            email_verified: user.has_confirmed_email(),
        }
    }
}

/// The session and the validity of a token whose signature is verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenSubject {
    pub(super) session: Uuid,
    pub(super) user_id: i64,
    exp: i64,
    nbf: Option<i64>,
}

impl TokenSubject {
    /// Returns whether the token is valid at this time, without leeway.
    pub(super) fn is_valid(&self, now: DateTime<Utc>) -> bool {
        let now = now.timestamp();
        self.nbf.is_none_or(|nbf| nbf <= now) && now < self.exp
    }
}

impl From<&SharedClaims> for TokenSubject {
    fn from(claims: &SharedClaims) -> Self {
        Self {
            session: claims.sid,
            user_id: claims.user_id,
            exp: claims.exp,
            nbf: claims.nbf,
        }
    }
}
