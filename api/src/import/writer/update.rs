//! Brings changes of the source into accounts of an earlier run.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    database::Transaction,
    models::{
        api_token, imported_user, role, session,
        user::{
            self, WriteUserError,
            profile::ProfileChange,
            staff::{self, Change},
        },
    },
};
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _, sea_query::Expr};

use crate::import::{
    fingerprints::{COMPARED, Column, Fingerprints, text_of_mapped, text_of_user},
    mapping::Mapped,
    outcome::{Outcome, Reason},
    writer::{
        PictureTask, Writer, Written,
        state::{BatchState, Existing},
    },
};

impl Writer<'_> {
    /// Updates an account with the values that have changed in the source since the last run and have not been changed here.
    pub(super) async fn update(
        &self,
        transaction: &Transaction,
        state: &mut BatchState,
        existing: Existing,
        mapped: Mapped,
        mut outcome: Outcome,
        written: &mut Written,
    ) -> Result<(), DbErr> {
        let id = existing.user.id;
        let stored = &existing.imported.fingerprints;
        let Some(mut fingerprints) = Fingerprints::read(id, stored) else {
            outcome.add(Reason::ChangedHere);
            written.outcomes.push(outcome);
            return Ok(());
        };
        // The ids of the original are its own, and a row without an id was found by its email.
        let may_be_another = self.source != imported_user::DJANGO && outcome.name.id.is_some();
        if may_be_another && !self.is_same_person(&fingerprints, &mapped) {
            let skipped = Outcome::skip(outcome.name, Reason::IdTaken, None);
            written.outcomes.push(skipped);
            return Ok(());
        }
        let roles = state.names_of(transaction, &existing.role_ids).await?;
        let mut columns = self.changed(&existing, &mapped, &roles, &fingerprints, &mut outcome);
        if columns.contains(&Column::Email)
            && let Err(winner) = state.take_email(id, &mapped)
        {
            columns.retain(|column| *column != Column::Email);
            outcome.add(Reason::EmailTaken);
            outcome.winner = Some(winner);
        }
        for column in &columns {
            fingerprints.set(self.key, *column, &text_of_mapped(&mapped, *column));
        }
        let later_login = mapped.last_login_at > existing.user.last_login_at;
        outcome.is_changed = !columns.is_empty() || later_login;
        if outcome.is_changed && !self.dry_run {
            let change = Changed {
                existing: &existing,
                mapped: &mapped,
                columns: &columns,
            };
            self.store(transaction, state, &change, &mut outcome)
                .await?;
            imported_user::set_fingerprints(transaction, id, fingerprints.to_bytes()).await?;
        }
        match PictureTask::of(self.key, &existing.user, mapped.image, &fingerprints) {
            Ok(task) => written.pictures.extend(task),
            Err(reason) => outcome.add(reason),
        }
        written.outcomes.push(outcome);
        Ok(())
    }

    /// Returns whether a row has the email, the username, the password hash or the time of creation that the account was imported with.
    /// Otherwise the file is probably of another system, which has given the same id to another person.
    fn is_same_person(&self, fingerprints: &Fingerprints, mapped: &Mapped) -> bool {
        let is_known = [
            (Column::Email, true),
            (Column::Username, true),
            (Column::Password, mapped.password.is_some()),
            (Column::CreatedAt, mapped.created_at.is_some()),
        ];
        is_known.into_iter().any(|(column, has_value)| {
            has_value && fingerprints.matches(self.key, column, &text_of_mapped(mapped, column))
        })
    }

    /// Returns the columns that have changed in the source and not here.
    fn changed(
        &self,
        existing: &Existing,
        mapped: &Mapped,
        roles: &[String],
        fingerprints: &Fingerprints,
        outcome: &mut Outcome,
    ) -> Vec<Column> {
        let mut columns = Vec::new();
        for column in COMPARED {
            if fingerprints.matches(self.key, column, &text_of_mapped(mapped, column)) {
                continue;
            }
            // A login renews the hash of the same password.
            let is_changed_here = if column == Column::Password {
                existing.imported.has_new_password
            } else {
                let here = text_of_user(&existing.user, roles, column);
                !fingerprints.matches(self.key, column, &here)
            };
            if is_changed_here {
                outcome.add(Reason::ChangedHere);
            } else {
                columns.push(column);
            }
        }
        columns
    }

    async fn store(
        &self,
        transaction: &Transaction,
        state: &mut BatchState,
        change: &Changed<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), DbErr> {
        let (user, mapped) = (&change.existing.user, change.mapped);
        let changed = staff::change(transaction, user, change.by_staff(self.now), self.now).await;
        changed.map_err(|error| match error {
            // Registered since the batch was compared. A repeated run reports it.
            WriteUserError::EmailTaken => DbErr::RecordNotUpdated,
            WriteUserError::Database(error) => error,
        })?;
        let mut update = user::Entity::update_many().filter(user::Column::Id.eq(user.id));
        if change.has(Column::Password) {
            let hash = mapped.password.clone().unwrap_or_else(self.no_password);
            update = update.col_expr(user::Column::PasswordHash, Expr::value(hash));
        }
        let last_login = mapped.last_login_at.max(user.last_login_at);
        update = update.col_expr(user::Column::LastLoginAt, Expr::value(last_login));
        if change.has(Column::CreatedAt) {
            let created_at = mapped.created_at.unwrap_or(user.created_at);
            update = update.col_expr(user::Column::CreatedAt, Expr::value(created_at));
        }
        update.exec(transaction).await?;
        if change.has(Column::Roles) {
            let roles = state
                .roles(transaction, false, mapped, &mut outcome.reasons)
                .await?;
            let before = change.existing.role_ids.iter().copied().collect();
            role::assign(transaction, user.id, &before, &roles.into_iter().collect()).await?;
        }
        if change.has(Column::Password) || change.has(Column::IsActive) {
            session::revoke_all(transaction, user.id, self.now).await?;
        }
        if change.has(Column::IsActive) {
            api_token::revoke_all(transaction, user.id, self.now).await?;
        }
        Ok(())
    }
}

/// The change of an account.
struct Changed<'a> {
    existing: &'a Existing,
    mapped: &'a Mapped,
    columns: &'a [Column],
}

impl Changed<'_> {
    fn has(&self, column: Column) -> bool {
        self.columns.contains(&column)
    }

    /// Returns the part of the change that staff could make, too.
    fn by_staff(&self, now: DateTime<Utc>) -> Change {
        let new = self.mapped;
        let flag = |column, flag: bool| self.has(column).then_some(flag);
        Change {
            profile: ProfileChange {
                email: self.has(Column::Email).then(|| new.email.clone()),
                // The source decides which email the account has.
                email_trusted_from: Some(now),
                username: self.has(Column::Username).then(|| new.username.clone()),
                phone_number: self
                    .has(Column::PhoneNumber)
                    .then(|| new.phone_number.clone()),
                date_birth: self.has(Column::DateBirth).then_some(new.date_birth),
                gender: self.has(Column::Gender).then_some(new.gender),
                language: self.has(Column::Language).then(|| new.language.clone()),
                language_chosen: flag(Column::Language, new.language_chosen),
                ..ProfileChange::default()
            },
            is_activated: flag(Column::IsActivated, new.is_activated),
            is_active: flag(Column::IsActive, new.is_active),
            is_staff: flag(Column::IsStaff, new.is_staff),
            is_superuser: flag(Column::IsSuperuser, new.is_superuser),
            permissions: self
                .has(Column::Permissions)
                .then(|| new.permissions.clone()),
        }
    }
}
