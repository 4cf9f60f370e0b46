//! `ACCESS_TOKEN_ALGORITHM`

use std::str::FromStr;

use latchkey_shared::models::signing_key::SigningAlgorithm;

/// The algorithm of new access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessTokenAlgorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// `EdDSA` with Ed25519.
    EdDsa,
    /// HMAC with SHA-256 and `ACCESS_TOKEN_SECRET`, for services that verify with a shared secret.
    Hs256,
}

impl AccessTokenAlgorithm {
    /// Returns the algorithm of the key pairs, or `None` for a shared secret.
    #[must_use]
    pub fn pair(self) -> Option<SigningAlgorithm> {
        match self {
            Self::Es256 => Some(SigningAlgorithm::Es256),
            Self::EdDsa => Some(SigningAlgorithm::EdDsa),
            Self::Hs256 => None,
        }
    }

    /// Returns the name in JWTs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.pair().map_or("HS256", SigningAlgorithm::as_str)
    }
}

impl FromStr for AccessTokenAlgorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ES256" => Ok(Self::Es256),
            "EdDSA" => Ok(Self::EdDsa),
            "HS256" => Ok(Self::Hs256),
            _ => Err(()),
        }
    }
}
