//! Access and refresh tokens: the JWTs of djangorestframework-simplejwt, with a session id (`sid`) added.

use std::{fmt, str::FromStr};

use crate::http::body::fields::FromField;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use latchkey_shared::{
    crypto::{random_bytes, token_hash::TokenHasher},
    models::session,
    types::validation_error::Invalid,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Maximum length of a token, in bytes. Longer ones are refused without verification.
pub const MAX_BYTES: usize = 2_048;

macro_rules! secret_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(String);

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
pub struct TokenId(String);

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

/// The purpose of a token. A token of one type is never accepted as the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TokenType {
    Access,
    Refresh,
}

/// The only header that this service signs and accepts. Further members are refused: `crit` would require extensions
/// (RFC 7515, 4.1.11), and none are supported.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtHeader {
    alg: Algorithm,
    typ: String,
}

/// The claims, in the order of djangorestframework-simplejwt.
#[derive(Serialize, Deserialize)]
struct Claims {
    token_type: TokenType,
    exp: i64,
    /// The time from which the token is valid (RFC 7519, 4.1.5), in Unix seconds. Never issued, but honoured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    iat: i64,
    jti: String,
    user_id: i64,
    sid: Uuid,
}

/// The claims of a verified token.
pub struct VerifiedToken {
    /// The id of the session.
    pub session: Uuid,
    /// The id of the user.
    pub user_id: i64,
    /// The id of the token.
    pub id: TokenId,
}

/// The token is malformed, forged, expired or of the other type.
#[derive(Debug, Clone, Copy)]
pub struct InvalidToken;

/// Signs and verifies tokens with HS256 and `SECRET_KEY`, so that services that verify tokens of
/// djangorestframework-simplejwt verify these, too.
pub struct TokenIssuer {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    access: TimeDelta,
    refresh: TimeDelta,
}

impl TokenIssuer {
    /// Creates an issuer. `access` and `refresh` are the lifetimes of the tokens.
    #[must_use]
    pub fn new(key: &[u8], access: TimeDelta, refresh: TimeDelta) -> Self {
        // One accepted algorithm (RFC 8725, 3.1). `verify` checks the expiry with the app's clock and without leeway.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        Self {
            signing: EncodingKey::from_secret(key),
            verifying: DecodingKey::from_secret(key),
            validation,
            access,
            refresh,
        }
    }

    /// Returns the expiry of a session that starts at `now`.
    #[must_use]
    pub fn session_end(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + self.refresh
    }

    /// Issues an access token of a session.
    #[must_use]
    pub fn access(&self, user_id: i64, session: Uuid, now: DateTime<Utc>) -> AccessToken {
        AccessToken(self.sign(&Claims {
            token_type: TokenType::Access,
            exp: (now + self.access).timestamp(),
            nbf: None,
            iat: now.timestamp(),
            jti: TokenId::generate().0,
            user_id,
            sid: session,
        }))
    }

    /// Issues the refresh token with this id. It expires with the session.
    #[must_use]
    pub fn refresh(
        &self,
        session: &session::Model,
        id: &TokenId,
        issued: DateTime<Utc>,
    ) -> RefreshToken {
        RefreshToken(self.sign(&Claims {
            token_type: TokenType::Refresh,
            exp: session.expires_at.timestamp(),
            nbf: None,
            iat: issued.timestamp(),
            jti: id.0.clone(),
            user_id: session.user_id,
            sid: session.id,
        }))
    }

    /// Verifies an access token.
    pub fn verify_access(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, InvalidToken> {
        self.verify(token, TokenType::Access, now)
    }

    /// Verifies a refresh token.
    pub fn verify_refresh(
        &self,
        token: &RefreshToken,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, InvalidToken> {
        self.verify(&token.0, TokenType::Refresh, now)
    }

    fn verify(
        &self,
        token: &str,
        expected: TokenType,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, InvalidToken> {
        if token.len() > MAX_BYTES || !has_expected_header(token) {
            return Err(InvalidToken);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|_| InvalidToken)?
            .claims;
        let now = now.timestamp();
        let valid = claims.nbf.is_none_or(|nbf| nbf <= now) && now < claims.exp;
        if claims.token_type != expected || !valid {
            return Err(InvalidToken);
        }
        Ok(VerifiedToken {
            session: claims.sid,
            user_id: claims.user_id,
            id: TokenId(claims.jti),
        })
    }

    fn sign(&self, claims: &Claims) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signing)
            .expect("the claims serialise, and HMAC accepts any key")
    }
}

/// Whether the header of a token is the one that this service signs, in any JSON spelling.
fn has_expected_header(token: &str) -> bool {
    let encoded = token.split('.').next().unwrap_or_default();
    URL_SAFE_NO_PAD
        .decode(encoded)
        .ok()
        .and_then(|json| serde_json::from_slice::<JwtHeader>(&json).ok())
        .is_some_and(|header| header.alg == Algorithm::HS256 && header.typ == "JWT")
}
