//! The cryptography of `jsonwebtoken`, by ring: HS256, ES256 and `EdDSA` with Ed25519. The crate's own providers bring many more
//! algorithms and the crates for them.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    jwk::{EllipticCurve, ThumbprintHash},
    signature::{self, Signer, Verifier},
};
use ring::{
    digest, hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
    },
};

/// The tag before the coordinates of an uncompressed point (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        check_family(*algorithm, key.family())?;
        Ok(Box::new(RingSigner::new(*algorithm, key)?))
    },
    verifier_factory: |algorithm, key| {
        check_family(*algorithm, key.family())?;
        Ok(Box::new(RingVerifier::new(*algorithm, key)?))
    },
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| unsupported(),
        rsa_pub_components_from_public_key: |_| unsupported(),
        ec_pub_components_from_private_key: ec_components,
        ed_pub_components_from_private_key: |pkcs8, _| {
            Ok(ed25519(pkcs8)?.public_key().as_ref().to_vec())
        },
        compute_digest: |data, hash| {
            let algorithm = match hash {
                ThumbprintHash::SHA256 => &digest::SHA256,
                ThumbprintHash::SHA384 => &digest::SHA384,
                ThumbprintHash::SHA512 => &digest::SHA512,
                _ => return unsupported(),
            };
            Ok(digest::digest(algorithm, data).as_ref().to_vec())
        },
    },
};

/// Makes this the provider of the process. Has an effect once.
pub(super) fn install() {
    // Fails only if it is installed already: no other provider exists.
    let _ = PROVIDER.install_default();
}

/// Reads a P-256 key pair in PKCS #8.
pub(super) fn p256(pkcs8: &[u8]) -> Result<EcdsaKeyPair> {
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
        .map_err(|_| ErrorKind::InvalidEcdsaKey.into())
}

/// Reads an Ed25519 key pair in PKCS #8.
pub(super) fn ed25519(pkcs8: &[u8]) -> Result<Ed25519KeyPair> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| ErrorKind::InvalidEddsaKey.into())
}

fn unsupported<T>() -> Result<T> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

/// Refuses a key of another algorithm's family, such as a public key as a shared secret.
fn check_family(algorithm: Algorithm, family: AlgorithmFamily) -> Result<()> {
    if algorithm.family() == family {
        Ok(())
    } else {
        Err(ErrorKind::InvalidKeyFormat.into())
    }
}

fn ec_components(pkcs8: &[u8], algorithm: Algorithm) -> Result<(EllipticCurve, Vec<u8>, Vec<u8>)> {
    if algorithm != Algorithm::ES256 {
        return unsupported();
    }
    let pair = p256(pkcs8)?;
    match pair.public_key().as_ref().split_first() {
        Some((&UNCOMPRESSED, point)) => {
            let (x, y) = point.split_at(point.len() / 2);
            Ok((EllipticCurve::P256, x.to_vec(), y.to_vec()))
        }
        _ => Err(ErrorKind::InvalidEcdsaKey.into()),
    }
}

enum RingSigner {
    Hs256(hmac::Key),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl RingSigner {
    fn new(algorithm: Algorithm, key: &EncodingKey) -> Result<Self> {
        let key = key.as_bytes();
        match algorithm {
            Algorithm::HS256 => Ok(Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, key))),
            Algorithm::ES256 => p256(key).map(Self::Es256),
            Algorithm::EdDSA => ed25519(key).map(Self::EdDsa),
            _ => unsupported(),
        }
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        match self {
            Self::Hs256(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            Self::Es256(pair) => {
                let signed = pair.sign(&SystemRandom::new(), message);
                let signed = signed.map_err(|_| signature::Error::new())?;
                Ok(signed.as_ref().to_vec())
            }
            Self::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::HS256,
            Self::Es256(_) => Algorithm::ES256,
            Self::EdDsa(_) => Algorithm::EdDSA,
        }
    }
}

struct RingVerifier {
    algorithm: Algorithm,
    /// The shared secret, or the public key without an encoding around it.
    key: Vec<u8>,
}

impl RingVerifier {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self> {
        let key = key.try_get_as_bytes()?.to_vec();
        Ok(Self { algorithm, key })
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(
        &self,
        message: &[u8],
        signed: &Vec<u8>,
    ) -> std::result::Result<(), signature::Error> {
        let verified = match self.algorithm {
            Algorithm::HS256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &self.key);
                hmac::verify(&key, message, signed)
            }
            Algorithm::ES256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.key).verify(message, signed)
            }
            Algorithm::EdDSA => UnparsedPublicKey::new(&ED25519, &self.key).verify(message, signed),
            _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
