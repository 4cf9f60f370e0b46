//! What the database has of the accounts of a batch.

use std::collections::{HashMap, HashSet};

use latchkey_shared::{
    database::Transaction,
    models::{
        imported_user,
        role::{self, WriteRoleError},
        user::{self, staff},
    },
    types::email::EmailKey,
};
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QuerySelect as _};

use crate::import::{mapping::Mapped, outcome::Reason, writer::RowWithId};

/// What to do with a row.
pub(super) enum Decision {
    /// Create the account.
    Create,
    /// Compare the account with that of the last run.
    Compare(Box<Existing>),
    /// Skip the row. The number is that of the account that has the email.
    Skip(Reason, Option<i64>),
}

/// An account of an earlier run.
pub(super) struct Existing {
    pub(super) user: user::Model,
    pub(super) imported: imported_user::Model,
    pub(super) role_ids: Vec<i64>,
}

/// The state of the database before the batch.
pub(super) struct BatchState {
    imported: HashMap<i64, imported_user::Model>,
    users: HashMap<i64, user::Model>,
    role_ids: HashMap<i64, Vec<i64>>,
    /// The accounts by the keys of the batch's emails.
    keys: HashMap<EmailKey, i64>,
    roles: Option<Vec<role::Model>>,
}

impl BatchState {
    /// Reads the state, and locks the accounts of earlier runs.
    pub(super) async fn load(
        transaction: &Transaction,
        batch: &[RowWithId],
    ) -> Result<Self, DbErr> {
        let ids: Vec<_> = batch.iter().map(|row| row.id).collect();
        let keys: Vec<_> = batch.iter().map(|row| row.mapped.email.key()).collect();
        let imported = imported_user::find_many(transaction, &ids).await?;
        let users = if imported.is_empty() {
            user::find_many(transaction, &ids).await?
        } else {
            staff::lock(transaction, &ids, false).await?
        };
        let existing: Vec<_> = users.iter().map(|user| user.id).collect();
        let taken = ids_of_emails(transaction, keys).await?;
        Ok(Self {
            imported: imported.into_iter().map(|row| (row.user_id, row)).collect(),
            role_ids: role::ids_of_users(transaction, &existing).await?,
            users: users.into_iter().map(|user| (user.id, user)).collect(),
            keys: taken.into_iter().collect(),
            roles: None,
        })
    }

    /// Decides what to do with a row of a source, and takes its email.
    pub(super) fn decide(&mut self, id: i64, source: &str, mapped: &Mapped) -> Decision {
        match (self.imported.remove(&id), self.users.remove(&id)) {
            (Some(imported), _) if imported.source != source => {
                Decision::Skip(Reason::IdTaken, None)
            }
            (Some(imported), Some(user)) => Decision::Compare(Box::new(Existing {
                role_ids: self.role_ids.remove(&id).unwrap_or_default(),
                user,
                imported,
            })),
            (Some(_), None) => Decision::Skip(Reason::DeletedHere, None),
            (None, Some(_)) => Decision::Skip(Reason::IdTaken, None),
            (None, None) => match self.take_email(id, mapped) {
                Ok(()) => Decision::Create,
                Err(winner) => Decision::Skip(Reason::EmailTaken, Some(winner)),
            },
        }
    }

    /// Gives an email to an account, unless another account has it.
    pub(super) fn take_email(&mut self, id: i64, mapped: &Mapped) -> Result<(), i64> {
        match *self.keys.entry(mapped.email.key()).or_insert(id) {
            owner if owner == id => Ok(()),
            owner => Err(owner),
        }
    }

    /// Returns the ids of an account's roles, and creates roles that do not exist. A role with other permissions is not assigned,
    /// because it may allow more than the group does.
    pub(super) async fn roles(
        &mut self,
        transaction: &Transaction,
        dry_run: bool,
        mapped: &Mapped,
        reasons: &mut Vec<Reason>,
    ) -> Result<Vec<i64>, DbErr> {
        if mapped.roles.is_empty() {
            return Ok(Vec::new());
        }
        let mut roles = match self.roles.take() {
            Some(roles) => roles,
            None => role::list(transaction).await?,
        };
        let mut ids = HashSet::new();
        for wanted in &mapped.roles {
            let name = wanted.name.to_string().to_lowercase();
            let same_name = |role: &&role::Model| role.name.to_string().to_lowercase() == name;
            match roles.iter().find(same_name) {
                Some(role) if role.permissions == wanted.permissions => {
                    ids.insert(role.id);
                }
                Some(_) => reasons.push(Reason::RoleDiffers),
                None if dry_run => {}
                None => {
                    let (name, permissions) = (wanted.name.clone(), wanted.permissions.clone());
                    let role = role::insert(transaction, name, permissions).await;
                    let role = role.map_err(|error| match error {
                        WriteRoleError::NameTaken => DbErr::RecordNotInserted,
                        WriteRoleError::Database(error) => error,
                    })?;
                    ids.insert(role.id);
                    roles.push(role);
                }
            }
        }
        self.roles = Some(roles);
        Ok(ids.into_iter().collect())
    }

    /// Returns the names of roles.
    pub(super) async fn names_of(
        &mut self,
        transaction: &Transaction,
        ids: &[i64],
    ) -> Result<Vec<String>, DbErr> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let roles = match self.roles.take() {
            Some(roles) => roles,
            None => role::list(transaction).await?,
        };
        let names = roles
            .iter()
            .filter(|role| ids.contains(&role.id))
            .map(|role| role.name.to_string())
            .collect();
        self.roles = Some(roles);
        Ok(names)
    }
}

async fn ids_by(
    transaction: &Transaction,
    column: user::Column,
    keys: &[EmailKey],
) -> Result<Vec<(EmailKey, i64)>, DbErr> {
    user::Entity::find()
        .select_only()
        .columns([column, user::Column::Id])
        .filter(column.is_in(keys.iter().map(EmailKey::as_str)))
        .into_tuple()
        .all(transaction)
        .await
}

/// Returns the accounts that have one of these emails, or got codes at it before a change that is not confirmed.
pub(super) async fn ids_of_emails(
    transaction: &Transaction,
    keys: Vec<EmailKey>,
) -> Result<Vec<(EmailKey, i64)>, DbErr> {
    let current = ids_by(transaction, user::Column::EmailKey, &keys).await?;
    let mut all = ids_by(transaction, user::Column::ConfirmedEmailKey, &keys).await?;
    all.extend(current);
    Ok(all)
}
