//! Verifies the tokens that the Django original issued (djangorestframework-simplejwt): HS256 with its `SECRET_KEY`.

use chrono::{DateTime, Utc};
use jsonwebtoken::Algorithm;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, de::Error as _};
use uuid::{Builder, Uuid};

use super::{
    claims::TokenType,
    header::KeyName,
    issuer::{InvalidToken, TokenIssuer, verify},
    tokens::MAX_BYTES,
};

/// The claims of the original's tokens. They name no session.
#[derive(Deserialize)]
struct Claims {
    token_type: TokenType,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    iat: i64,
    jti: String,
    #[serde(deserialize_with = "user_id")]
    user_id: i64,
}

/// A valid token of the original.
pub struct OriginalToken {
    /// The id of the user.
    pub user_id: i64,
    /// When the user logged in: the original keeps this time when it refreshes an access token.
    pub issued_at: DateTime<Utc>,
    /// When the token expires.
    pub expires_at: DateTime<Utc>,
}

impl OriginalToken {
    /// Returns the id of the session of these tokens. The tokens of one login have the same, as they have the same `iat`. It depends
    /// on no key, so that a revoked session stays revoked.
    #[must_use]
    pub fn session_id(&self) -> Uuid {
        let login = format!("original:{}:{}", self.user_id, self.issued_at.timestamp());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest(&SHA256, login.as_bytes()).as_ref()[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }
}

impl TokenIssuer {
    /// Verifies an access token of the original.
    pub fn verify_original_access(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<OriginalToken, InvalidToken> {
        self.verify_original(token, TokenType::Access, now)
    }

    /// Verifies a refresh token of the original.
    pub fn verify_original_refresh(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<OriginalToken, InvalidToken> {
        self.verify_original(token, TokenType::Refresh, now)
    }

    /// Verifies a token as the original does: without leeway, and not if it is issued in the future. Always fails without
    /// `ORIGINAL_SECRET_KEY`.
    fn verify_original(
        &self,
        token: &str,
        token_type: TokenType,
        now: DateTime<Utc>,
    ) -> Result<OriginalToken, InvalidToken> {
        let key = self.original.as_ref().ok_or(InvalidToken)?;
        if token.len() > MAX_BYTES || KeyName::of(token) != Some(KeyName::Secret) {
            return Err(InvalidToken);
        }
        let claims: Claims = verify(token, Algorithm::HS256, key)?;
        let seconds = now.timestamp();
        let is_valid = claims.token_type == token_type
            && !claims.jti.is_empty()
            && claims.iat <= seconds
            && claims.nbf.is_none_or(|nbf| nbf <= seconds)
            && seconds < claims.exp;
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(InvalidToken);
        if !is_valid {
            return Err(InvalidToken);
        }
        Ok(OriginalToken {
            user_id: claims.user_id,
            issued_at: time(claims.iat)?,
            expires_at: time(claims.exp)?,
        })
    }
}

/// Reads an id: a number, or its digits as text.
fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(i64),
        Digits(String),
    }
    match Id::deserialize(deserializer)? {
        Id::Number(id) => Ok(id),
        Id::Digits(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_err(D::Error::custom)
        }
        Id::Digits(_) => Err(D::Error::custom("no id")),
    }
}
