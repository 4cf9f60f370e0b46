//! Writes a batch of mapped rows in one transaction.

mod ids;
mod state;
mod update;

use chrono::{DateTime, Utc};
use latchkey_shared::{
    crypto::token_hash::Fingerprints as Key,
    database::{self, Database, Transaction},
    models::{
        imported_user, role,
        user::{self, search},
    },
};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait as _, DbErr, EntityTrait as _, QueryTrait as _,
    sea_query::OnConflict,
};

use crate::import::{
    fingerprints::{Column, Fingerprints},
    mapping::{Mapped, Mapping},
    outcome::{Outcome, Reason},
    row::RowKey,
    source::WITHOUT_IDS,
    writer::state::{BatchState, Decision},
};

/// What all batches of a run share.
pub(super) struct Writer<'a> {
    pub(super) db: &'a Database,
    pub(super) key: &'a Key,
    /// The kind of the source, as rows have it.
    pub(super) source: &'static str,
    /// Returns the hash of an account without a password.
    pub(super) no_password: &'a (dyn Fn() -> String + Sync),
    pub(super) dry_run: bool,
    pub(super) now: DateTime<Utc>,
}

/// An account whose picture in the source has changed since the last run.
#[derive(Clone, Debug)]
pub(super) struct PictureTask {
    pub(super) user_id: i64,
    /// The picture here, which the new one replaces.
    pub(super) replaces: Option<String>,
    /// The path in the source's media folder. `None` removes the picture.
    pub(super) path: Option<String>,
    pub(super) fingerprints: Fingerprints,
}

/// A written batch.
#[derive(Default)]
pub(super) struct Written {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) pictures: Vec<PictureTask>,
}

/// A mapped row with the id of its account here.
struct RowWithId {
    name: RowKey,
    id: i64,
    mapped: Mapped,
    reasons: Vec<Reason>,
}

/// A new account.
struct NewAccount {
    row: RowWithId,
    roles: Vec<i64>,
}

impl Writer<'_> {
    /// Writes a batch. A dry run reads the same and writes nothing.
    pub(super) async fn write(&self, batch: Vec<Mapping>) -> Result<Written, DbErr> {
        let transaction = database::begin(self.db).await?;
        let (mut written, mut new) = (Written::default(), Vec::new());
        let batch = self.assign_ids(&transaction, batch, &mut written).await?;
        let mut state = BatchState::load(&transaction, &batch).await?;
        for mut row in batch {
            match state.decide(row.id, self.source_of(row.name), &row.mapped) {
                Decision::Skip(reason, winner) => {
                    let skipped = Outcome::skip(row.name, reason, winner);
                    written.outcomes.push(skipped);
                }
                Decision::Create => {
                    let dry_run = self.dry_run;
                    let roles = state.roles(&transaction, dry_run, &row.mapped, &mut row.reasons);
                    let roles = roles.await?;
                    new.push(NewAccount { row, roles });
                }
                Decision::Compare(existing) => {
                    let outcome = Outcome::of(row.name, row.id, row.reasons);
                    self.update(
                        &transaction,
                        &mut state,
                        *existing,
                        row.mapped,
                        outcome,
                        &mut written,
                    )
                    .await?;
                }
            }
        }
        self.create(&transaction, new, &mut written).await?;
        if self.dry_run {
            // Nothing was written, so there is nothing to undo.
            drop(transaction);
        } else {
            transaction.commit().await?;
        }
        Ok(written)
    }

    /// Creates accounts. The database decides whether an id or an email has been taken since the batch was compared.
    async fn create(
        &self,
        transaction: &Transaction,
        new: Vec<NewAccount>,
        written: &mut Written,
    ) -> Result<(), DbErr> {
        if new.is_empty() {
            return Ok(());
        }
        let created = if self.dry_run {
            new.iter().map(|account| account.row.id).collect()
        } else {
            self.insert(transaction, &new).await?
        };
        let (mut imported, mut assigned) = (Vec::new(), Vec::new());
        for NewAccount { row, roles } in new {
            let id = row.id;
            if !created.contains(&id) {
                let skipped = Outcome::skip(row.name, Reason::EmailTaken, None);
                written.outcomes.push(skipped);
                continue;
            }
            let fingerprints = Fingerprints::of(self.key, id, &row.mapped);
            imported.push(self.imported(id, self.source_of(row.name), &fingerprints));
            assigned.extend(roles.into_iter().map(|role| (id, role)));
            written.outcomes.push(Outcome {
                is_created: true,
                ..Outcome::of(row.name, id, row.reasons)
            });
            if row.mapped.image.is_some() {
                written.pictures.push(PictureTask {
                    user_id: id,
                    replaces: None,
                    path: row.mapped.image,
                    fingerprints,
                });
            }
        }
        if self.dry_run {
            return Ok(());
        }
        imported_user::insert_many(transaction, imported).await?;
        role::assign_many(transaction, assigned).await
    }

    /// Returns the source of an account, as its row has it.
    fn source_of(&self, name: RowKey) -> &'static str {
        if name.id.is_some() {
            self.source
        } else {
            WITHOUT_IDS
        }
    }

    fn imported(
        &self,
        user_id: i64,
        source: &str,
        fingerprints: &Fingerprints,
    ) -> imported_user::Model {
        imported_user::Model {
            user_id,
            source: source.to_owned(),
            imported_at: self.now,
            fingerprints: fingerprints.to_bytes(),
            has_new_password: false,
        }
    }

    /// Inserts accounts, and returns the ids of those whose id and email were free.
    async fn insert(
        &self,
        transaction: &Transaction,
        new: &[NewAccount],
    ) -> Result<std::collections::HashSet<i64>, DbErr> {
        let rows = new
            .iter()
            .map(|account| self.row(account.row.id, &account.row.mapped));
        let mut insert = user::Entity::insert_many(rows)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .into_query();
        insert.returning_col(user::Column::Id);
        let statement = transaction.get_database_backend().build(&insert);
        let rows = transaction.query_all_raw(statement).await?;
        rows.iter().map(|row| row.try_get_by_index(0)).collect()
    }

    fn row(&self, id: i64, mapped: &Mapped) -> user::ActiveModel {
        let phone_number = mapped.phone_number.as_ref();
        user::ActiveModel {
            id: Set(id),
            search_text: Set(search::text_of(
                &mapped.username,
                &mapped.email,
                phone_number,
            )),
            email_key: Set(mapped.email.key()),
            email: Set(mapped.email.clone()),
            username: Set(mapped.username.clone()),
            password_hash: Set(mapped.password.clone().unwrap_or_else(self.no_password)),
            phone_number: Set(mapped.phone_number.clone()),
            picture: Set(None),
            date_birth: Set(mapped.date_birth),
            gender: Set(mapped.gender),
            is_activated: Set(mapped.is_activated),
            is_active: Set(mapped.is_active),
            is_staff: Set(mapped.is_staff),
            is_superuser: Set(mapped.is_superuser),
            created_at: Set(mapped.created_at.unwrap_or(self.now)),
            last_login_at: Set(mapped.last_login_at),
            version: Set(0),
            permissions: Set(mapped.permissions.clone()),
            pending_email_verification: Set(mapped.pending_email_verification),
            email_verified_at: Set(None),
            email_set_at: Set(None),
            confirmed_email: Set(None),
            confirmed_email_key: Set(None),
            confirmed_email_since: Set(None),
            email_trusted_from: Set(None),
            language: Set(mapped.language.clone()),
            language_chosen: Set(mapped.language_chosen),
            deletion_at: Set(None),
            second_factor_at: Set(None),
        }
    }
}

impl PictureTask {
    /// Returns the task if the picture in the source has changed since the last run, or why it cannot be brought in.
    fn of(
        key: &Key,
        user: &user::Model,
        path: Option<String>,
        fingerprints: &Fingerprints,
    ) -> Result<Option<Self>, Reason> {
        if fingerprints.matches(key, Column::Image, path.as_deref().unwrap_or_default()) {
            return Ok(None);
        }
        let here = user.picture.as_deref().unwrap_or_default();
        if !fingerprints.matches(key, Column::Picture, here) {
            return Err(Reason::ChangedHere);
        }
        Ok(Some(Self {
            user_id: user.id,
            replaces: user.picture.clone(),
            path,
            fingerprints: fingerprints.clone(),
        }))
    }
}
