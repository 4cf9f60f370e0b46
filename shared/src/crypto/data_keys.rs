//! The data keys: random keys that hash, sign and encrypt, one for each purpose. The database stores them sealed by `SECRET_KEY`, so
//! that `SECRET_KEY` can be changed and they stay.

use std::{collections::BTreeMap, fmt};

use crate::{
    crypto::{
        random_bytes,
        sealing::{OpenError, Seal},
        secret_key::SecretKey,
        token_hash::{Fingerprints, TokenHasher},
    },
    models::audit::AuditKey,
    redis::one_time_code::CodeSeal,
};

/// The purpose of a data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPurpose {
    /// Encrypts one-time codes in Redis.
    OneTimeCodes,
    /// Hashes refresh tokens, reset tokens and CSRF tokens.
    TokenHashes,
    /// Replaces emails in Redis and in the audit log.
    Fingerprints,
    /// Chains the events of the audit log.
    AuditLog,
    /// Signs refresh tokens.
    RefreshTokens,
    /// Encrypts the private keys that sign access tokens.
    SigningKeys,
    /// Encrypts the TOTP secrets of accounts.
    TotpSecrets,
}

impl KeyPurpose {
    /// All purposes.
    pub const ALL: [Self; 7] = [
        Self::OneTimeCodes,
        Self::TokenHashes,
        Self::Fingerprints,
        Self::AuditLog,
        Self::RefreshTokens,
        Self::SigningKeys,
        Self::TotpSecrets,
    ];

    /// Returns the name in the database. It is part of the seal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OneTimeCodes => "one_time_codes",
            Self::TokenHashes => "token_hashes",
            Self::Fingerprints => "fingerprints",
            Self::AuditLog => "audit_log",
            Self::RefreshTokens => "refresh_tokens",
            Self::SigningKeys => "signing_keys",
            Self::TotpSecrets => "totp_secrets",
        }
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key of 256 random bits.
#[derive(Clone)]
pub(crate) struct DataKey([u8; 32]);

impl DataKey {
    /// Generates a key with the operating system's generator.
    pub(crate) fn generate() -> Self {
        Self(random_bytes())
    }

    /// Encrypts this key for the database.
    pub(crate) fn seal(&self, purpose: KeyPurpose, key: &SecretKey) -> Vec<u8> {
        key.data_key_seal()
            .seal(purpose.as_str().as_bytes(), &self.0)
    }

    /// Decrypts a key from the database.
    pub(crate) fn open(
        purpose: KeyPurpose,
        sealed: &[u8],
        key: &SecretKey,
    ) -> Result<Self, OpenError> {
        let opened = key.data_key_seal();
        let opened = opened.open(purpose.as_str().as_bytes(), sealed)?;
        opened.try_into().map(Self).map_err(|_| OpenError)
    }
}

/// The opened data keys of an installation. All programs of an installation have the same.
#[derive(Clone)]
pub struct DataKeys(BTreeMap<KeyPurpose, DataKey>);

impl DataKeys {
    /// Returns `Err` with the first purpose that has no key.
    pub(crate) fn new(keys: BTreeMap<KeyPurpose, DataKey>) -> Result<Self, KeyPurpose> {
        match KeyPurpose::ALL.iter().find(|it| !keys.contains_key(it)) {
            Some(missing) => Err(*missing),
            None => Ok(Self(keys)),
        }
    }

    /// Returns the hasher of refresh tokens, reset tokens and CSRF tokens.
    #[must_use]
    pub fn token_hasher(&self) -> TokenHasher {
        TokenHasher::new(self.key(KeyPurpose::TokenHashes))
    }

    /// Returns the fingerprints of emails.
    #[must_use]
    pub fn fingerprints(&self) -> Fingerprints {
        Fingerprints::new(self.key(KeyPurpose::Fingerprints))
    }

    /// Returns the key of the audit log.
    #[must_use]
    pub fn audit_key(&self) -> AuditKey {
        AuditKey::new(self.key(KeyPurpose::AuditLog))
    }

    /// Returns the key that encrypts one-time codes.
    #[must_use]
    pub fn code_seal(&self) -> CodeSeal {
        CodeSeal::new(Seal::new(self.key(KeyPurpose::OneTimeCodes)))
    }

    /// Returns the key that signs refresh tokens, only for signing and verifying JWTs.
    #[must_use]
    pub fn refresh_token_key(&self) -> &[u8; 32] {
        self.key(KeyPurpose::RefreshTokens)
    }

    /// Returns the key that encrypts the private keys of access tokens.
    #[must_use]
    pub fn signing_key_seal(&self) -> Seal {
        Seal::new(self.key(KeyPurpose::SigningKeys))
    }

    /// Returns the key that encrypts the TOTP secrets of accounts.
    #[must_use]
    pub fn totp_seal(&self) -> Seal {
        Seal::new(self.key(KeyPurpose::TotpSecrets))
    }

    fn key(&self, purpose: KeyPurpose) -> &[u8; 32] {
        &self.0[&purpose].0
    }
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKeys(…)")
    }
}
