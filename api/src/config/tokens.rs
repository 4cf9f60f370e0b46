//! The signatures and the claims of access tokens.

use std::fmt;

use chrono::TimeDelta;
use latchkey_shared::{
    config::settings::{Environment, Settings},
    crypto::secret_key::{self, SecretKey},
};

use crate::config::{DAY, access_token_algorithm::AccessTokenAlgorithm, lifetime, production};

/// Maximum length of `TOKEN_AUDIENCE`, in bytes.
const MAX_AUDIENCE_BYTES: usize = 200;

/// The signatures and the claims of access tokens.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// `ACCESS_TOKEN_ALGORITHM`
    pub algorithm: AccessTokenAlgorithm,
    /// `ACCESS_TOKEN_SECRET`: the key of HS256. Set if the algorithm is HS256.
    pub secret: Option<AccessTokenSecret>,
    /// `ORIGINAL_SECRET_KEY`: the `SECRET_KEY` of the Django original, whose tokens count for imported accounts.
    pub original_secret: Option<OriginalSecret>,
    /// `TOKEN_AUDIENCE`: the `aud` of access tokens.
    pub audience: Option<String>,
    /// `JWKS_MAX_AGE_SECONDS`: for how long other services may cache the public keys.
    pub jwks_max_age: TimeDelta,
    /// `SIGNING_KEY_DAYS`: for how long a key signs.
    pub signing_key_lifetime: TimeDelta,
}

impl TokenSettings {
    pub(super) fn read(settings: &mut Settings, environment: Environment) -> Self {
        let algorithm = settings.choice(
            "ACCESS_TOKEN_ALGORITHM",
            AccessTokenAlgorithm::Es256,
            "ES256, EdDSA or HS256",
        );
        let tokens = Self {
            algorithm,
            secret: read_secret(settings, algorithm, environment),
            original_secret: read_original_secret(settings),
            audience: settings.text("TOKEN_AUDIENCE"),
            jwks_max_age: lifetime(settings, "JWKS_MAX_AGE_SECONDS", 300, DAY),
            signing_key_lifetime: TimeDelta::days(settings.within("SIGNING_KEY_DAYS", 30, 1..=366)),
        };
        let audience = tokens.audience.as_deref().unwrap_or_default();
        if audience.len() > MAX_AUDIENCE_BYTES || audience.chars().any(char::is_control) {
            settings.fault("TOKEN_AUDIENCE", "a name of at most 200 bytes in one line");
        }
        tokens
    }
}

fn read_secret(
    settings: &mut Settings,
    algorithm: AccessTokenAlgorithm,
    environment: Environment,
) -> Option<AccessTokenSecret> {
    const KEY: &str = "ACCESS_TOKEN_SECRET";
    let text = settings.text(KEY);
    if text.is_none() && algorithm == AccessTokenAlgorithm::Hs256 {
        settings.fault(
            KEY,
            "at least 32 random bytes with ACCESS_TOKEN_ALGORITHM=HS256 (openssl rand -base64 32)",
        );
    }
    let secret = AccessTokenSecret(text?);
    let secret_keys = ["SECRET_KEY", "SECRET_KEY_PREVIOUS"].map(|key| settings.text(key));
    if secret_keys
        .iter()
        .flatten()
        .any(|keys| keys.contains(&secret.0))
    {
        settings.fault(
            KEY,
            "another value than those of SECRET_KEY and SECRET_KEY_PREVIOUS",
        );
    } else if environment == Environment::Production {
        production::check_access_token_secret(settings, &secret);
    }
    Some(secret)
}

/// Reads the key of the original's tokens. It may be short: it is as long as the original has it. Another use of the same value would
/// make tokens of one kind valid as those of another.
fn read_original_secret(settings: &mut Settings) -> Option<OriginalSecret> {
    const KEY: &str = "ORIGINAL_SECRET_KEY";
    let secret = OriginalSecret(settings.text(KEY)?);
    let own = ["SECRET_KEY", "SECRET_KEY_PREVIOUS", "ACCESS_TOKEN_SECRET"];
    let own = own.map(|key| settings.text(key));
    let is_same = |key: &str| key.trim() == secret.0;
    if own
        .iter()
        .flatten()
        .any(|keys| is_same(keys) || keys.split(',').any(is_same))
    {
        settings.fault(
            KEY,
            "the SECRET_KEY of the original, other than SECRET_KEY, SECRET_KEY_PREVIOUS and ACCESS_TOKEN_SECRET",
        );
    }
    Some(secret)
}

/// The value of `ORIGINAL_SECRET_KEY`.
#[derive(Clone)]
pub struct OriginalSecret(String);

impl OriginalSecret {
    /// Returns the raw bytes, only for verifying tokens of the original.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for OriginalSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OriginalSecret(…)")
    }
}

/// The value of `ACCESS_TOKEN_SECRET`, which other services have, too.
#[derive(Clone)]
pub struct AccessTokenSecret(String);

impl AccessTokenSecret {
    /// Returns the raw bytes, only for signing and verifying access tokens.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Returns whether the secret is shorter than the hash that it keys (RFC 7518, 3.2).
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.0.len() < secret_key::MIN_BYTES
    }

    /// Returns whether the secret can be guessed, by the rules of `SECRET_KEY`.
    #[must_use]
    pub fn is_guessable(&self) -> bool {
        self.0
            .parse()
            .is_ok_and(|key: SecretKey| key.is_guessable())
    }
}

impl fmt::Debug for AccessTokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessTokenSecret(…)")
    }
}
