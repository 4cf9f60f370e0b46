//! The stored data keys. `latchkey-api migrate` creates them, and every program opens them at its start.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sea_orm::{
    Set,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};

use crate::{
    config::secret_keys::SecretKeys,
    crypto::data_keys::{DataKey, DataKeys, KeyPurpose},
    database,
    models::{api_token, session, signing_key, totp_secret, user},
};

/// A sealed data key.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "data_keys")]
pub struct Model {
    /// A [`KeyPurpose`].
    #[sea_orm(primary_key, auto_increment = false)]
    purpose: String,
    /// The key, encrypted with the `SECRET_KEY` of `sealed_by`.
    sealed_key: Vec<u8>,
    /// The id of a `SECRET_KEY` (see [`SecretKey::id`](crate::crypto::secret_key::SecretKey::id)).
    sealed_by: String,
}

/// Data keys have no relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Why the data keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataKeysError {
    /// The database failed.
    #[error("the database: {}", database::describe(.0))]
    Database(#[from] DbErr),
    /// None of the configured keys opens a data key.
    #[error(
        "SECRET_KEY does not open the data key {purpose}, which the SECRET_KEY with the id {sealed_by} sealed: set SECRET_KEY to that key, \
         or add it to SECRET_KEY_PREVIOUS (latchkey-api secrets status shows the ids)"
    )]
    Sealed {
        /// The purpose of the data key.
        purpose: KeyPurpose,
        /// The id of the key that sealed it.
        sealed_by: String,
    },
    /// A data key is gone or was never created.
    #[error(
        "the data key {0} is missing: run `latchkey-api migrate`; if the table data_keys lost rows, restore it from a backup"
    )]
    Missing(KeyPurpose),
}

/// Opens all data keys.
pub async fn load(
    db: &impl ConnectionTrait,
    secrets: &SecretKeys,
) -> Result<DataKeys, DataKeysError> {
    let mut keys = BTreeMap::new();
    for (purpose, row) in rows(db).await? {
        let opened = open(purpose, &row, secrets).ok_or(DataKeysError::Sealed {
            purpose,
            sealed_by: row.sealed_by,
        })?;
        keys.insert(purpose, opened);
    }
    DataKeys::new(keys).map_err(DataKeysError::Missing)
}

/// Creates the data keys that the database lacks. A database that lacks one although it has rows that need it has lost it, and a new
/// one would hide that: `is_new` says whether the table was just created.
pub async fn create_missing(
    db: &impl ConnectionTrait,
    secrets: &SecretKeys,
    is_new: bool,
) -> Result<(), DataKeysError> {
    let existing: BTreeSet<_> = rows(db).await?.into_keys().collect();
    let missing = KeyPurpose::ALL
        .into_iter()
        .filter(|it| !existing.contains(it));
    for purpose in missing {
        if !is_new && is_in_use(db, purpose).await? {
            return Err(DataKeysError::Missing(purpose));
        }
        create(db, purpose, secrets).await?;
    }
    Ok(())
}

/// Returns whether the database has rows that need the key.
async fn is_in_use(db: &impl ConnectionTrait, purpose: KeyPurpose) -> Result<bool, DbErr> {
    match purpose {
        // The key is newer than the others, so a database with accounts may lack it.
        KeyPurpose::TotpSecrets => totp_secret::exists(db).await,
        _ => user::exists(db).await,
    }
}

/// Seals the data keys that an earlier `SECRET_KEY` sealed with the current one. Returns their number.
pub async fn reseal(
    db: &impl ConnectionTrait,
    secrets: &SecretKeys,
) -> Result<usize, DataKeysError> {
    let current = secrets.current();
    let mut resealed = 0;
    for (purpose, row) in rows(db).await? {
        if row.sealed_by == current.id() {
            continue;
        }
        let Some(key) = open(purpose, &row, secrets) else {
            continue;
        };
        // A condition, as another program may have sealed it in between.
        let updated = Entity::update_many()
            .col_expr(Column::SealedKey, Expr::value(key.seal(purpose, current)))
            .col_expr(Column::SealedBy, Expr::value(current.id()))
            .filter(Column::Purpose.eq(purpose.as_str()))
            .filter(Column::SealedBy.eq(row.sealed_by))
            .exec(db)
            .await?;
        resealed += usize::from(updated.rows_affected > 0);
    }
    Ok(resealed)
}

/// Replaces the data keys that no configured key opens, or `all` of them. Ends the sessions, API tokens and signing keys that they
/// protected. Returns the purposes of the replaced keys.
pub async fn replace(
    db: &impl ConnectionTrait,
    secrets: &SecretKeys,
    all: bool,
    now: DateTime<Utc>,
) -> Result<Vec<KeyPurpose>, DataKeysError> {
    let mut replaced = Vec::new();
    let rows = rows(db).await?;
    for purpose in KeyPurpose::ALL {
        let row = rows.get(&purpose);
        if !all && row.is_some_and(|row| open(purpose, row, secrets).is_some()) {
            continue;
        }
        Entity::delete_by_id(purpose.as_str()).exec(db).await?;
        create(db, purpose, secrets).await?;
        replaced.push(purpose);
    }
    let is_replaced = |purpose| replaced.contains(&purpose);
    if is_replaced(KeyPurpose::TokenHashes) || is_replaced(KeyPurpose::RefreshTokens) {
        session::revoke_of_everyone(db, now).await?;
    }
    if is_replaced(KeyPurpose::TokenHashes) {
        api_token::revoke_of_everyone(db, now).await?;
    }
    if is_replaced(KeyPurpose::SigningKeys) {
        signing_key::revoke_all(db, now).await?;
    }
    Ok(replaced)
}

/// Returns the purposes of the data keys, each with the id of the key that seals it.
pub async fn sealed_by(db: &impl ConnectionTrait) -> Result<Vec<(KeyPurpose, String)>, DbErr> {
    let rows = rows(db).await?.into_iter();
    Ok(rows
        .map(|(purpose, row)| (purpose, row.sealed_by))
        .collect())
}

/// Returns the rows of known purposes. A newer version may have more.
async fn rows(db: &impl ConnectionTrait) -> Result<BTreeMap<KeyPurpose, Model>, DbErr> {
    let purpose = |row: &Model| {
        KeyPurpose::ALL
            .into_iter()
            .find(|it| it.as_str() == row.purpose)
    };
    let rows = Entity::find().all(db).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((purpose(&row)?, row)))
        .collect())
}

fn open(purpose: KeyPurpose, row: &Model, secrets: &SecretKeys) -> Option<DataKey> {
    let key = secrets.all().find(|key| key.id() == row.sealed_by)?;
    DataKey::open(purpose, &row.sealed_key, key).ok()
}

/// Inserts a new key, unless another program was faster.
async fn create(
    db: &impl ConnectionTrait,
    purpose: KeyPurpose,
    secrets: &SecretKeys,
) -> Result<(), DbErr> {
    let key = secrets.current();
    let row = ActiveModel {
        purpose: Set(purpose.as_str().to_owned()),
        sealed_key: Set(DataKey::generate().seal(purpose, key)),
        sealed_by: Set(key.id()),
    };
    Entity::insert(row)
        .on_conflict(OnConflict::column(Column::Purpose).do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(())
}
