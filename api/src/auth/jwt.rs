//! Access and refresh tokens: JWTs like the original's (djangorestframework-simplejwt), with the session added.

use std::{fmt, str::FromStr};

use crate::http::body::fields::FromField;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use latchkey_shared::{
    crypto::{random_bytes, secret_key::SecretKey, token_hash::TokenHasher},
    models::session,
    types::validation_error::Invalid,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// No token of ours is longer; what is, is not worth verifying.
pub const MAX_BYTES: usize = 2_048;

macro_rules! secret_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(String);

        impl $name {
            /// The token itself, to send or to verify it.
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
    /// A token to get a new access token with.
    RefreshToken
);
secret_text!(
    /// The token of a request for a code: 256 random bits.
    ResetToken
);

impl ResetToken {
    /// Draws one from the operating system's generator.
    #[must_use]
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random_bytes::<32>()))
    }
}

/// The id of one token, 32 hex digits as the original's. That of the refresh token is the session's secret.
#[derive(Clone)]
pub struct TokenId(String);

impl TokenId {
    /// 128 bits from the operating system's generator.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::from_bytes(random_bytes()).simple().to_string())
    }

    /// The id of the token that follows this one in its session. It follows from this one and the key alone, so that a
    /// client which missed the answer to its refresh is told the same successor again.
    #[must_use]
    pub fn successor(&self, hasher: &TokenHasher, session: Uuid) -> Self {
        Self(hasher.successor(session, &self.0))
    }

    /// The id itself, to hash it.
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

/// What a token is for. The one is never taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TokenType {
    Access,
    Refresh,
}

/// The only header that this service signs and accepts. Every further member is refused, `crit` among them: its extensions
/// would have to be understood (RFC 7515, 4.1.11), and none are supported.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtHeader {
    alg: Algorithm,
    typ: String,
}

/// The claims, in the original's order.
#[derive(Serialize, Deserialize)]
struct Claims {
    token_type: TokenType,
    exp: i64,
    /// The second from which on the token counts (RFC 7519, 4.1.5). Never issued, but honoured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    iat: i64,
    jti: String,
    user_id: i64,
    sid: Uuid,
}

/// What a verified token says.
pub struct Verified {
    /// The session it belongs to.
    pub session: Uuid,
    /// Whose it is.
    pub user_id: i64,
    /// The id of the token.
    pub id: TokenId,
}

/// A token that is forged, expired, of the other type or not ours at all.
#[derive(Debug, Clone, Copy)]
pub struct InvalidToken;

/// Signs and verifies tokens: HS256 with `SECRET_KEY`, so that a service which verifies the original's tokens verifies
/// ours.
pub struct TokenIssuer {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    access: TimeDelta,
    refresh: TimeDelta,
}

impl TokenIssuer {
    /// An issuer of tokens with these life times.
    #[must_use]
    pub fn new(key: &SecretKey, access: TimeDelta, refresh: TimeDelta) -> Self {
        // The allow-list of one algorithm (RFC 8725, 3.1). Expiry is checked below, against our own clock and with no
        // leeway.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        Self {
            signing: EncodingKey::from_secret(key.expose_for_jwt()),
            verifying: DecodingKey::from_secret(key.expose_for_jwt()),
            validation,
            access,
            refresh,
        }
    }

    /// How long a session lives that starts now.
    #[must_use]
    pub fn session_end(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + self.refresh
    }

    /// An access token of a session.
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

    /// A refresh token of a session, issued at some moment; it ends with the session.
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
    ///
    /// # Errors
    /// When it is not a valid one.
    pub fn verify_access(&self, token: &str, now: DateTime<Utc>) -> Result<Verified, InvalidToken> {
        self.verify(token, TokenType::Access, now)
    }

    /// Verifies a refresh token.
    ///
    /// # Errors
    /// When it is not a valid one.
    pub fn verify_refresh(
        &self,
        token: &RefreshToken,
        now: DateTime<Utc>,
    ) -> Result<Verified, InvalidToken> {
        self.verify(&token.0, TokenType::Refresh, now)
    }

    fn verify(
        &self,
        token: &str,
        wanted: TokenType,
        now: DateTime<Utc>,
    ) -> Result<Verified, InvalidToken> {
        if token.len() > MAX_BYTES || !has_our_header(token) {
            return Err(InvalidToken);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|_| InvalidToken)?
            .claims;
        let now = now.timestamp();
        let valid = claims.nbf.is_none_or(|nbf| nbf <= now) && now < claims.exp;
        if claims.token_type != wanted || !valid {
            return Err(InvalidToken);
        }
        Ok(Verified {
            session: claims.sid,
            user_id: claims.user_id,
            id: TokenId(claims.jti),
        })
    }

    fn sign(&self, claims: &Claims) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signing)
            .expect("claims of texts and numbers always serialise, and HMAC takes every key")
    }
}

/// Whether the header of a token is the one of the tokens that are issued here, in any spelling of JSON.
fn has_our_header(token: &str) -> bool {
    let encoded = token.split('.').next().unwrap_or_default();
    URL_SAFE_NO_PAD
        .decode(encoded)
        .ok()
        .and_then(|json| serde_json::from_slice::<JwtHeader>(&json).ok())
        .is_some_and(|header| header.alg == Algorithm::HS256 && header.typ == "JWT")
}
