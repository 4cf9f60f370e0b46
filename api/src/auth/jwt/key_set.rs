//! The loaded signing keys, and the tokens that they have verified.

use chrono::{DateTime, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    jwk::{Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash},
};
use latchkey_shared::{
    crypto::sealing::Seal,
    models::signing_key::{KeySchedule, KeyState, Model, NewSigningKey, SigningAlgorithm},
};
use ring::{
    error::Unspecified,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};

use crate::auth::jwt::{cache::VerifiedTokens, provider};

/// The signing keys of the database at one time. A changed set replaces it, so that its verified tokens are forgotten with it.
pub struct KeySet {
    schedule: KeySchedule,
    /// The rows, ordered by number.
    rows: Vec<Model>,
    /// The keys of the rows, in the same order.
    keys: Vec<Key>,
    pub(super) verified: VerifiedTokens,
}

/// A key that can verify, and sign if its private key could be opened.
struct Key {
    algorithm: Option<SigningAlgorithm>,
    verifying: DecodingKey,
    signing: Option<EncodingKey>,
}

/// A key with which a token is signed.
pub(super) struct Signer<'a> {
    pub(super) kid: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) key: &'a EncodingKey,
}

/// A key with which a token is verified.
pub(super) struct TokenVerifier<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key: &'a DecodingKey,
}

impl KeySet {
    /// Returns a set without keys.
    #[must_use]
    pub fn empty(schedule: KeySchedule) -> Self {
        Self {
            schedule,
            rows: Vec::new(),
            keys: Vec::new(),
            verified: VerifiedTokens::default(),
        }
    }

    /// Opens the keys of the database.
    #[must_use]
    pub fn open(schedule: KeySchedule, rows: Vec<Model>, seal: &Seal) -> Self {
        provider::install();
        Self {
            schedule,
            keys: rows.iter().map(|row| Key::open(row, seal)).collect(),
            rows,
            verified: VerifiedTokens::default(),
        }
    }

    /// Returns the rows, ordered by number.
    #[must_use]
    pub fn rows(&self) -> &[Model] {
        &self.rows
    }

    /// Returns whether a key with this id was loaded, in any state.
    pub(super) fn contains(&self, kid: &str) -> bool {
        self.rows.iter().any(|row| row.kid == kid)
    }

    /// Returns the active key. Returns `None` if there is none, or if its private key cannot be opened.
    pub(super) fn signer(&self, now: DateTime<Utc>) -> Option<Signer<'_>> {
        let active = self.schedule.active(&self.rows, now)?.number;
        let (row, key) = self.entries().find(|(row, _)| row.number == active)?;
        Some(Signer {
            kid: &row.kid,
            algorithm: jwt_algorithm(key.algorithm?),
            key: key.signing.as_ref()?,
        })
    }

    /// Returns the accepted key with this id, if the algorithm is its own.
    pub(super) fn verifier(
        &self,
        kid: &str,
        algorithm: &str,
        now: DateTime<Utc>,
    ) -> Option<TokenVerifier<'_>> {
        let (row, key) = self.entries().find(|(row, _)| row.kid == kid)?;
        let is_accepted = self.state(row, now).is_accepted() && row.algorithm == algorithm;
        let algorithm = jwt_algorithm(key.algorithm?);
        is_accepted.then_some(TokenVerifier {
            algorithm,
            key: &key.verifying,
        })
    }

    /// Returns the public keys that are accepted, newest first.
    #[must_use]
    pub fn public_keys(&self, now: DateTime<Utc>) -> Vec<Jwk> {
        self.entries()
            .rev()
            .filter(|(row, _)| self.state(row, now).is_accepted())
            .filter_map(|(row, key)| public_jwk(&row.kid, key.algorithm?, &key.verifying))
            .collect()
    }

    /// Returns the time from which a new key has to sign, or `None` if none is due. The first key signs at once, or after its
    /// publication if `has_secret`: until then the shared secret signs.
    pub(super) fn due(
        &self,
        algorithm: SigningAlgorithm,
        has_secret: bool,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if self.signer(now).is_none() {
            let is_standby = |row: &Model| self.state(row, now) == KeyState::Standby;
            return match has_secret {
                true if self.rows.iter().any(is_standby) => None,
                true => Some(now + self.schedule.publication()),
                false => Some(now),
            };
        }
        self.schedule.due(&self.rows, algorithm, now)
    }

    /// Returns the time from which the active key signs.
    pub(super) fn active_since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(self.schedule.active(&self.rows, now)?.signs_from)
    }

    fn state(&self, row: &Model, now: DateTime<Utc>) -> KeyState {
        self.schedule.state(&self.rows, row, now)
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = (&Model, &Key)> {
        self.rows.iter().zip(&self.keys)
    }
}

impl Key {
    fn open(row: &Model, seal: &Seal) -> Self {
        // A newer version may have further algorithms. Their keys are ignored.
        let algorithm: Option<SigningAlgorithm> = row.algorithm.parse().ok();
        let private = row.private_key(seal);
        if private.is_err() {
            tracing::error!(
                kid = row.kid,
                "The private key of a signing key cannot be opened"
            );
        }
        let private = private.ok();
        let (verifying, signing) = match algorithm {
            Some(SigningAlgorithm::EdDsa) => (
                DecodingKey::from_ed_der(&row.public_key),
                private.map(|pkcs8| EncodingKey::from_ed_der(&pkcs8)),
            ),
            _ => (
                DecodingKey::from_ec_der(&row.public_key),
                private.map(|pkcs8| EncodingKey::from_ec_der(&pkcs8)),
            ),
        };
        Self {
            algorithm,
            verifying,
            signing,
        }
    }
}

/// Generates a key pair with the operating system's generator.
pub fn generate(algorithm: SigningAlgorithm) -> Result<NewSigningKey, KeyGenerationError> {
    provider::install();
    let (public_key, private_key) = match algorithm {
        SigningAlgorithm::Es256 => generate_p256()?,
        SigningAlgorithm::EdDsa => generate_ed25519()?,
    };
    let verifying = match algorithm {
        SigningAlgorithm::Es256 => DecodingKey::from_ec_der(&public_key),
        SigningAlgorithm::EdDsa => DecodingKey::from_ed_der(&public_key),
    };
    let jwk = Jwk::from_decoding_key(&verifying, Some(jwt_algorithm(algorithm)))?;
    Ok(NewSigningKey {
        kid: jwk.thumbprint(ThumbprintHash::SHA256)?,
        algorithm,
        public_key,
        private_key,
    })
}

/// A key pair could not be generated, as the operating system gave no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("a signing key could not be generated")]
pub struct KeyGenerationError;

impl From<Unspecified> for KeyGenerationError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

impl From<jsonwebtoken::errors::Error> for KeyGenerationError {
    fn from(_: jsonwebtoken::errors::Error) -> Self {
        Self
    }
}

fn generate_p256() -> Result<(Vec<u8>, Vec<u8>), KeyGenerationError> {
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())?;
    let pair = provider::p256(pkcs8.as_ref())?;
    Ok((pair.public_key().as_ref().to_vec(), pkcs8.as_ref().to_vec()))
}

fn generate_ed25519() -> Result<(Vec<u8>, Vec<u8>), KeyGenerationError> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())?;
    let pair = provider::ed25519(pkcs8.as_ref())?;
    Ok((pair.public_key().as_ref().to_vec(), pkcs8.as_ref().to_vec()))
}

fn public_jwk(kid: &str, algorithm: SigningAlgorithm, key: &DecodingKey) -> Option<Jwk> {
    let mut jwk = Jwk::from_decoding_key(key, Some(jwt_algorithm(algorithm))).ok()?;
    jwk.common.key_id = Some(kid.to_owned());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk.common.key_algorithm = Some(match algorithm {
        SigningAlgorithm::Es256 => KeyAlgorithm::ES256,
        SigningAlgorithm::EdDsa => KeyAlgorithm::EdDSA,
    });
    Some(jwk)
}

fn jwt_algorithm(algorithm: SigningAlgorithm) -> Algorithm {
    match algorithm {
        SigningAlgorithm::Es256 => Algorithm::ES256,
        SigningAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
