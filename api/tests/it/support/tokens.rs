//! Signs tokens as this service and its attackers do.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use latchkey_shared::models::signing_key;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _,
    },
};
use serde_json::{Value, json};

use crate::support::test_app::TestApp;

/// The `ACCESS_TOKEN_SECRET` of tests.
pub(crate) const ACCESS_SECRET: &str = "fedcba9876543210fedcba9876543210";

/// Settings for access tokens of each algorithm.
pub(crate) const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "HS256"];

/// Returns the settings of an algorithm.
pub(crate) fn settings(algorithm: &'static str) -> [(&'static str, &'static str); 2] {
    [
        ("ACCESS_TOKEN_ALGORITHM", algorithm),
        ("ACCESS_TOKEN_SECRET", ACCESS_SECRET),
    ]
}

/// A key that signs tokens.
#[derive(Clone)]
pub(crate) struct TestKey {
    pub(crate) algorithm: String,
    pub(crate) kid: Option<String>,
    /// The secret, or the private key in PKCS #8.
    private: Vec<u8>,
    /// Empty for a secret.
    pub(crate) public: Vec<u8>,
}

impl TestKey {
    /// A shared secret.
    pub(crate) fn secret(key: &[u8]) -> Self {
        Self {
            algorithm: "HS256".to_owned(),
            kid: None,
            private: key.to_vec(),
            public: Vec::new(),
        }
    }

    /// An attacker's key pair of the same algorithm, under the id of this key.
    pub(crate) fn of_attacker(&self) -> Self {
        let random = SystemRandom::new();
        let (private, public) = match self.algorithm.as_str() {
            "ES256" => {
                let document =
                    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                let private = document.unwrap().as_ref().to_vec();
                let pair =
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, &random);
                let public = pair.unwrap().public_key().as_ref().to_vec();
                (private, public)
            }
            "EdDSA" => {
                let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
                let public = pair.public_key().as_ref().to_vec();
                (document.as_ref().to_vec(), public)
            }
            _ => (b"an attacker's own key, 32 bytes!".to_vec(), Vec::new()),
        };
        Self {
            private,
            public,
            ..self.clone()
        }
    }

    /// The header of the key's tokens.
    pub(crate) fn header(&self) -> Value {
        let mut header = json!({"typ": "JWT", "alg": self.algorithm});
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        header
    }

    /// The header with further members, or with others.
    pub(crate) fn header_with(&self, more: &Value) -> Value {
        let mut header = self.header();
        for (name, value) in more.as_object().unwrap() {
            header[name] = value.clone();
        }
        header
    }

    /// Signs claims as this service does.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), &claims.to_string())
    }

    /// Signs a payload with this key, whatever the header says.
    pub(crate) fn sign_with(&self, header: &Value, payload: &str) -> String {
        let message = message(header, payload);
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self.algorithm.as_str() {
            "ES256" => {
                let pair = EcdsaKeyPair::from_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &self.private,
                    &random,
                );
                pair.unwrap()
                    .sign(&random, message)
                    .unwrap()
                    .as_ref()
                    .to_vec()
            }
            "EdDSA" => {
                let pair = Ed25519KeyPair::from_pkcs8(&self.private).unwrap();
                pair.sign(message).as_ref().to_vec()
            }
            _ => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &self.private);
                hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }

    /// An ECDSA signature in the encoding of X.509 instead of RFC 7518, 3.4.
    pub(crate) fn sign_in_der(&self, claims: &Value) -> String {
        let random = SystemRandom::new();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.private, &random);
        let message = message(&self.header(), &claims.to_string());
        let signature = pair.unwrap().sign(&random, message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The public key in the forms that an attacker may use as a shared secret.
    pub(crate) fn public_forms(&self) -> Vec<Vec<u8>> {
        if self.public.is_empty() {
            return Vec::new();
        }
        // SubjectPublicKeyInfo (RFC 5480, RFC 8410) up to the key's bits.
        let prefix: &[u8] = if self.algorithm == "ES256" {
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
        } else {
            b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"
        };
        let der = [prefix, &self.public].concat();
        let lines: Vec<_> = base64::engine::general_purpose::STANDARD
            .encode(&der)
            .into_bytes()
            .chunks(64)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
            lines.join("\n")
        );
        let forms = [
            self.public.clone(),
            der,
            pem.clone().into_bytes(),
            format!("{pem}\n").into_bytes(),
            self.jwk().to_string().into_bytes(),
        ];
        forms.to_vec()
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self.algorithm.as_str() {
            "ES256" => json!({
                "kty": "EC", "crv": "P-256", "x": encode(&self.public[1..33]), "y": encode(&self.public[33..]),
                "alg": "ES256", "use": "sig", "kid": self.kid,
            }),
            "EdDSA" => json!({
                "kty": "OKP", "crv": "Ed25519", "x": encode(&self.public), "alg": "EdDSA", "use": "sig",
                "kid": self.kid,
            }),
            _ => json!({"kty": "oct", "k": encode(&self.private)}),
        }
    }
}

fn message(header: &Value, payload: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}", encode(&header.to_string()), encode(payload))
}

impl TestApp {
    /// The key that signs access tokens: the newest of the database, or the secret.
    pub(crate) async fn access_key(&self) -> TestKey {
        match self.signing_keys().await.pop() {
            Some(key) => key,
            None => TestKey::secret(ACCESS_SECRET.as_bytes()),
        }
    }

    /// The key pairs of the database, oldest first.
    pub(crate) async fn signing_keys(&self) -> Vec<TestKey> {
        let seal = self.database.keys.signing_key_seal();
        let rows = signing_key::list(&self.database.db).await.unwrap();
        let key = |row: signing_key::Model| TestKey {
            private: row.private_key(&seal).unwrap(),
            algorithm: row.algorithm,
            kid: Some(row.kid),
            public: row.public_key,
        };
        rows.into_iter().map(key).collect()
    }

    /// The key that signs refresh tokens.
    pub(crate) fn refresh_key(&self) -> TestKey {
        TestKey::secret(self.database.keys.refresh_token_key())
    }
}
