//! API tokens of scripts and services: their text, and the authentication of requests by them.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_shared::{
    crypto::{
        random_bytes,
        token_hash::{TokenHash, TokenHasher},
    },
    models::{
        api_token::{self, Model},
        user,
    },
};
use poem::Request;
use poem_openapi::auth::{Bearer, BearerAuthorization as _};

use crate::{
    app_state::App,
    http::{audit_context::AuditContext, error::ApiError},
};

/// The start of each API token. Scanners that search published code for secrets find tokens by it.
const PREFIX: &str = "lk_";

/// The number of characters after the prefix: 256 bits in base64url without padding.
const SECRET_CHARS: usize = 43;

/// The text of an API token.
pub struct ApiToken(String);

impl ApiToken {
    /// Generates a token of 256 bits with the operating system's generator.
    #[must_use]
    pub fn generate() -> Self {
        let secret = URL_SAFE_NO_PAD.encode(random_bytes::<32>());
        Self(format!("{PREFIX}{secret}"))
    }

    /// Returns the bearer token of a request if it begins like an API token.
    #[must_use]
    pub fn of_request(request: &Request) -> Option<Self> {
        let bearer = Bearer::from_request(request).ok()?;
        Some(Self(bearer.token)).filter(|token| token.0.starts_with(PREFIX))
    }

    /// Returns the text of the token.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the stored hash of the token.
    #[must_use]
    pub fn hash(&self, hasher: &TokenHasher) -> TokenHash {
        hasher.hash(&self.0)
    }

    /// Returns whether the text has the length and the characters of an API token.
    fn is_well_formed(&self) -> bool {
        let secret = &self.0.as_bytes()[PREFIX.len()..];
        secret.len() == SECRET_CHARS
            && secret
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(…)")
    }
}

/// Finds a live token with its owner, whose account is active and activated, and records the use. A text that cannot be a token costs
/// no query.
pub async fn authenticate(
    app: &App,
    token: &ApiToken,
    audit: &AuditContext,
) -> Result<(Model, user::Model), ApiError> {
    let now = app.now();
    let found = if token.is_well_formed() {
        api_token::find_live_by_hash(&app.db, &token.hash(&app.token_hasher), now).await?
    } else {
        None
    };
    let Some((found, owner)) = found else {
        audit.record_invalid_token(app, "API token").await;
        return Err(ApiError::NotAuthenticated);
    };
    if !owner.is_activated {
        return Err(ApiError::NotActivated);
    }
    api_token::record_use(&app.db, &found, now).await?;
    Ok((found, owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_tokens_are_well_formed_and_differ() {
        let (one, other) = (ApiToken::generate(), ApiToken::generate());
        assert!(one.is_well_formed() && other.is_well_formed());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(format!("{one:?}"), "ApiToken(…)");
    }

    #[test]
    fn text_of_other_length_or_characters_is_no_token() {
        let token = ApiToken::generate().0;
        for bad in [
            PREFIX.to_owned(),
            token[..45].to_owned(),
            format!("{token}A"),
            format!("{}=", &token[..45]),
            format!("{}é", &token[..44]),
        ] {
            assert!(!ApiToken(bad.clone()).is_well_formed(), "{bad}");
        }
    }
}
