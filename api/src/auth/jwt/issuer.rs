//! Signs and verifies access and refresh tokens.

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use latchkey_shared::models::session;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    auth::jwt::{
        cache::VerifiedTokens,
        claims::{AccessClaims, SharedClaims, TokenOwner, TokenSubject, TokenType},
        header::KeyName,
        key_set::{KeySet, Signer},
        provider,
        tokens::{AccessToken, MAX_BYTES, RefreshToken, TokenId},
    },
    config::{Config, access_token_algorithm::AccessTokenAlgorithm},
    http::error::ApiError,
};

/// What tokens contain, and how they are signed.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// The `iss` of access tokens.
    pub issuer: String,
    /// The `aud` of access tokens.
    pub audience: Option<String>,
    /// The algorithm of new access tokens.
    pub algorithm: AccessTokenAlgorithm,
    /// The key of access tokens with HS256. They are accepted only if it is set.
    pub secret: Option<Vec<u8>>,
    /// The key of the original's tokens. They are accepted only if it is set.
    pub original_secret: Option<Vec<u8>>,
    /// The lifetime of access tokens.
    pub access: TimeDelta,
    /// The lifetime of refresh tokens.
    pub refresh: TimeDelta,
}

impl TokenRules {
    /// Returns the rules of an installation.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let secret = config.tokens.secret.as_ref();
        let original = config.tokens.original_secret.as_ref();
        Self {
            issuer: config.common.issuer().to_owned(),
            audience: config.tokens.audience.clone(),
            algorithm: config.tokens.algorithm,
            secret: secret.map(|secret| secret.expose().to_vec()),
            original_secret: original.map(|secret| secret.expose().to_vec()),
            access: config.sessions.access_token,
            refresh: config.sessions.refresh_token,
        }
    }
}

/// The claims of a verified token.
pub struct VerifiedToken {
    /// The id of the session.
    pub session: Uuid,
    /// The id of the user.
    pub user_id: i64,
}

/// The token is malformed, forged, expired or of the other type.
#[derive(Debug, Clone, Copy)]
pub struct InvalidToken;

/// Why an access token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// The token is malformed, forged, expired or of the other type.
    Invalid,
    /// The key with this id is not loaded. Another program may have just created it.
    UnknownKey(String),
}

/// No key can sign: the last one was revoked and none created.
#[derive(Debug, thiserror::Error)]
#[error("no signing key is active")]
pub struct NoSigningKey;

impl From<NoSigningKey> for ApiError {
    fn from(error: NoSigningKey) -> Self {
        Self::Internal(error.to_string())
    }
}

/// A shared secret of HS256.
struct Secret {
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl Secret {
    fn new(key: &[u8]) -> Self {
        Self {
            signing: EncodingKey::from_secret(key),
            verifying: DecodingKey::from_secret(key),
        }
    }
}

/// Signs and verifies tokens.
pub struct TokenIssuer {
    rules: TokenRules,
    refresh: Secret,
    access: Option<Secret>,
    pub(super) original: Option<DecodingKey>,
    keys: RwLock<Arc<KeySet>>,
}

impl TokenIssuer {
    /// Creates an issuer. `refresh_key` signs refresh tokens, and `keys` access tokens.
    #[must_use]
    pub fn new(refresh_key: &[u8], rules: TokenRules, keys: KeySet) -> Self {
        provider::install();
        Self {
            refresh: Secret::new(refresh_key),
            access: rules.secret.as_deref().map(Secret::new),
            original: rules
                .original_secret
                .as_deref()
                .map(DecodingKey::from_secret),
            rules,
            keys: RwLock::new(Arc::new(keys)),
        }
    }

    /// Returns the loaded signing keys.
    #[must_use]
    pub fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the signing keys.
    pub fn set_keys(&self, keys: KeySet) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// Returns the `iss` of access tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.rules.issuer
    }

    /// Returns the expiry of a session that starts at `now`.
    #[must_use]
    pub fn session_end(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + self.rules.refresh
    }

    /// Issues an access token of a session.
    pub fn access(
        &self,
        owner: TokenOwner,
        session: Uuid,
        now: DateTime<Utc>,
    ) -> Result<AccessToken, NoSigningKey> {
        let claims = AccessClaims {
            shared: SharedClaims {
                token_type: TokenType::Access,
                exp: (now + self.rules.access).timestamp(),
                nbf: None,
                iat: now.timestamp(),
                jti: TokenId::generate().0,
                user_id: owner.user_id,
                sid: session,
            },
            iss: self.rules.issuer.clone(),
            aud: self.rules.audience.clone(),
            sub: owner.user_id.to_string(),
            email_verified: owner.email_verified,
        };
        let keys = self.keys();
        let signer = match self.rules.algorithm {
            AccessTokenAlgorithm::Hs256 => None,
            _ => keys.signer(now),
        };
        match (signer, &self.access) {
            (Some(signer), _) => sign_with_pair(&signer, &claims),
            // With HS256, and until the first key pair has been published.
            (None, Some(secret)) => sign(&Header::new(Algorithm::HS256), &claims, &secret.signing),
            (None, None) => Err(NoSigningKey),
        }
        .map(AccessToken)
    }

    /// Issues the refresh token with this id. It expires with the session.
    ///
    /// # Panics
    /// Never: the claims serialise, and HMAC accepts any key.
    #[must_use]
    pub fn refresh(
        &self,
        session: &session::Model,
        id: &TokenId,
        issued: DateTime<Utc>,
    ) -> RefreshToken {
        let claims = SharedClaims {
            token_type: TokenType::Refresh,
            exp: session.expires_at.timestamp(),
            nbf: None,
            iat: issued.timestamp(),
            jti: id.0.clone(),
            user_id: session.user_id,
            sid: session.id,
        };
        let signed = sign(
            &Header::new(Algorithm::HS256),
            &claims,
            &self.refresh.signing,
        );
        RefreshToken(signed.expect("HMAC accepts any key"))
    }

    /// Verifies an access token with the loaded keys.
    pub fn verify_access(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, Rejection> {
        if token.len() > MAX_BYTES {
            return Err(Rejection::Invalid);
        }
        let (keys, digest) = (self.keys(), VerifiedTokens::digest(token));
        let subject = if let Some(subject) = keys.verified.get(&digest) {
            subject
        } else {
            let subject = self.verify_signature(&keys, token, now)?;
            keys.verified.insert(digest, subject);
            subject
        };
        if !subject.is_valid(now) {
            return Err(Rejection::Invalid);
        }
        Ok(VerifiedToken {
            session: subject.session,
            user_id: subject.user_id,
        })
    }

    /// Verifies everything of an access token that does not depend on the time.
    fn verify_signature(
        &self,
        keys: &KeySet,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<TokenSubject, Rejection> {
        let claims: AccessClaims = match KeyName::of(token).ok_or(Rejection::Invalid)? {
            KeyName::Secret => {
                let secret = self.access.as_ref().ok_or(Rejection::Invalid)?;
                verify(token, Algorithm::HS256, &secret.verifying)
            }
            KeyName::Pair { kid, .. } if !keys.contains(&kid) => {
                return Err(Rejection::UnknownKey(kid));
            }
            KeyName::Pair { kid, algorithm } => {
                let verifier = keys.verifier(&kid, &algorithm, now);
                let verifier = verifier.ok_or(Rejection::Invalid)?;
                verify(token, verifier.algorithm, verifier.key)
            }
        }
        .map_err(|InvalidToken| Rejection::Invalid)?;
        let is_ours = claims.shared.token_type == TokenType::Access
            && claims.iss == self.rules.issuer
            && claims.aud == self.rules.audience
            && claims.sub == claims.shared.user_id.to_string();
        if is_ours {
            Ok(TokenSubject::from(&claims.shared))
        } else {
            Err(Rejection::Invalid)
        }
    }

    /// Verifies a refresh token. Returns its claims and its id.
    pub fn verify_refresh(
        &self,
        token: &RefreshToken,
        now: DateTime<Utc>,
    ) -> Result<(VerifiedToken, TokenId), InvalidToken> {
        let is_named = KeyName::of(&token.0) == Some(KeyName::Secret);
        if token.0.len() > MAX_BYTES || !is_named {
            return Err(InvalidToken);
        }
        let claims: SharedClaims = verify(&token.0, Algorithm::HS256, &self.refresh.verifying)?;
        let subject = TokenSubject::from(&claims);
        if claims.token_type != TokenType::Refresh || !subject.is_valid(now) {
            return Err(InvalidToken);
        }
        let verified = VerifiedToken {
            session: subject.session,
            user_id: subject.user_id,
        };
        Ok((verified, TokenId(claims.jti)))
    }
}

fn sign_with_pair(signer: &Signer<'_>, claims: &AccessClaims) -> Result<String, NoSigningKey> {
    let header = Header {
        kid: Some(signer.kid.to_owned()),
        ..Header::new(signer.algorithm)
    };
    sign(&header, claims, signer.key)
}

fn sign(
    header: &Header,
    claims: &impl Serialize,
    key: &EncodingKey,
) -> Result<String, NoSigningKey> {
    jsonwebtoken::encode(header, claims, key).map_err(|_| NoSigningKey)
}

/// Verifies the signature of a token with the one algorithm of the key (RFC 8725, 3.1). The caller checks the claims.
pub(super) fn verify<T: DeserializeOwned>(
    token: &str,
    algorithm: Algorithm,
    key: &DecodingKey,
) -> Result<T, InvalidToken> {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    // The expiry is checked with the app's clock and without leeway.
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<T>(token, key, &validation)
        .map(|token| token.claims)
        .map_err(|_| InvalidToken)
}
