//! The keys that sign access tokens, with sealed private keys.
//!
//! A key is published as standby before it signs, so that services that verify tokens have loaded it by then. It then signs until a
//! newer key does, and is accepted until its last token has expired. [`KeySchedule`] computes these states from times alone.

mod schedule;

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveValue::Set,
    QueryOrder as _,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};

use crate::crypto::sealing::{OpenError, Seal};

pub use crate::models::signing_key::schedule::{KeySchedule, KeyState};

/// How long a revoked key is kept for `latchkey-api keys list`.
pub const REVOKED_RETENTION: TimeDelta = TimeDelta::days(30);

/// The algorithm of a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// ECDSA with P-256 and SHA-256 (RFC 7518, 3.4).
    Es256,
    /// `EdDSA` with Ed25519 (RFC 8037, 3.1).
    EdDsa,
}

impl SigningAlgorithm {
    /// Returns the name in JWTs and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SigningAlgorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "ES256" => Ok(Self::Es256),
            "EdDSA" => Ok(Self::EdDsa),
            _ => Err(()),
        }
    }
}

/// A signing key.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub struct Model {
    /// The number of the previous key plus one. Of two programs that create the next key at once, one succeeds.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// The `kid` of tokens: the key's thumbprint (RFC 7638), 43 characters.
    #[sea_orm(unique)]
    pub kid: String,
    /// A [`SigningAlgorithm`].
    pub algorithm: String,
    /// ES256: the uncompressed point, 65 bytes. `EdDSA`: 32 bytes.
    pub public_key: Vec<u8>,
    /// The private key in PKCS #8, sealed.
    pub sealed_private_key: Vec<u8>,
    /// When the key was created, and published.
    pub created_at: DateTime<Utc>,
    /// When the key begins to sign.
    pub signs_from: DateTime<Utc>,
    /// When the key was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Signing keys have no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Returns the private key in PKCS #8.
    pub fn private_key(&self, seal: &Seal) -> Result<Vec<u8>, OpenError> {
        seal.open(
            &context(&self.kid, &self.algorithm),
            &self.sealed_private_key,
        )
    }
}

/// A new key pair.
pub struct NewSigningKey {
    /// See [`Model::kid`].
    pub kid: String,
    /// See [`Model::algorithm`].
    pub algorithm: SigningAlgorithm,
    /// See [`Model::public_key`].
    pub public_key: Vec<u8>,
    /// The private key in PKCS #8.
    pub private_key: Vec<u8>,
}

impl NewSigningKey {
    /// Returns the row with a sealed private key.
    #[must_use]
    pub fn seal(
        self,
        seal: &Seal,
        number: i64,
        now: DateTime<Utc>,
        signs_from: DateTime<Utc>,
    ) -> Model {
        let algorithm = self.algorithm.as_str();
        Model {
            number,
            sealed_private_key: seal.seal(&context(&self.kid, algorithm), &self.private_key),
            kid: self.kid,
            algorithm: algorithm.to_owned(),
            public_key: self.public_key,
            created_at: now,
            signs_from,
            revoked_at: None,
        }
    }
}

impl fmt::Debug for NewSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewSigningKey({})", self.kid)
    }
}

/// Returns what a sealed key is bound to.
fn context(kid: &str, algorithm: &str) -> Vec<u8> {
    format!("{kid} {algorithm}").into_bytes()
}

/// Returns all keys, oldest first.
pub async fn list(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find().order_by_asc(Column::Number).all(db).await
}

/// Inserts a key. Returns false if another program has inserted one with its number.
pub async fn insert(db: &impl ConnectionTrait, key: &Model) -> Result<bool, DbErr> {
    let row = ActiveModel {
        number: Set(key.number),
        kid: Set(key.kid.clone()),
        algorithm: Set(key.algorithm.clone()),
        public_key: Set(key.public_key.clone()),
        sealed_private_key: Set(key.sealed_private_key.clone()),
        created_at: Set(key.created_at),
        signs_from: Set(key.signs_from),
        revoked_at: Set(None),
    };
    let inserted = Entity::insert(row)
        .on_conflict(OnConflict::column(Column::Number).do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(inserted > 0)
}

/// Revokes a key. Returns false if there is no such key, or if it is revoked already.
pub async fn revoke(
    db: &impl ConnectionTrait,
    kid: &str,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let revoked = Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(Column::Kid.eq(kid))
        .filter(Column::RevokedAt.is_null())
        .exec(db)
        .await?;
    Ok(revoked.rows_affected > 0)
}

/// Revokes all keys.
pub async fn revoke_all(db: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::RevokedAt, Expr::value(now))
        .filter(Column::RevokedAt.is_null())
        .exec(db)
        .await?;
    Ok(())
}

/// Deletes keys.
pub async fn delete(db: &impl ConnectionTrait, numbers: &[i64]) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::Number.is_in(numbers.iter().copied()))
        .exec(db)
        .await?;
    Ok(())
}
