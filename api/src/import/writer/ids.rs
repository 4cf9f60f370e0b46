//! Assigns ids to rows without an id.

use std::collections::{HashMap, HashSet};

use latchkey_shared::{
    database::Transaction,
    models::{imported_user, user},
    types::email::EmailKey,
};
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, Statement};

use crate::import::{
    fingerprints::{Column, Fingerprints},
    mapping::{Mapped, Mapping},
    outcome::{Outcome, Reason},
    source::WITHOUT_IDS,
    writer::{RowWithId, Writer, Written, state::ids_of_emails},
};

impl Writer<'_> {
    /// Assigns the id of its account to each row, and adds the outcomes of skipped rows. A row without an id gets the id of the
    /// account that this source created with the email, or else a new one.
    pub(super) async fn assign_ids(
        &self,
        transaction: &Transaction,
        batch: Vec<Mapping>,
        written: &mut Written,
    ) -> Result<Vec<RowWithId>, DbErr> {
        let (mut numbered, mut without) = (Vec::new(), Vec::new());
        for mapping in batch {
            match (mapping.mapped, mapping.name.id) {
                (Err(skipped), _) => {
                    let invalid = Outcome::invalid(mapping.name, skipped);
                    written.outcomes.push(invalid);
                }
                (Ok(mapped), id) => {
                    let row = RowWithId {
                        name: mapping.name,
                        id: id.unwrap_or_default(),
                        mapped: *mapped,
                        reasons: mapping.reasons,
                    };
                    let rows = if id.is_some() {
                        &mut numbered
                    } else {
                        &mut without
                    };
                    rows.push(row);
                }
            }
        }
        if !without.is_empty() {
            let known = self.accounts_by_email(transaction, &without).await?;
            let rows = self
                .assign_missing_ids(transaction, without, &known, written)
                .await?;
            numbered.extend(rows);
        }
        Ok(numbered)
    }

    /// Returns the accounts that have the emails of rows, and whether an import created them with the email from a row without an id.
    /// An account that has taken the email here belongs to another person than the row.
    async fn accounts_by_email(
        &self,
        transaction: &Transaction,
        rows: &[RowWithId],
    ) -> Result<HashMap<EmailKey, (i64, bool)>, DbErr> {
        let keys = rows.iter().map(|row| row.mapped.email.key()).collect();
        let taken = ids_of_emails(transaction, keys).await?;
        let ids: Vec<_> = taken.iter().map(|(_, id)| *id).collect();
        let users = user::find_many(transaction, &ids).await?;
        let emails: HashMap<_, _> = users.iter().map(|user| (user.id, &user.email)).collect();
        let has_imported_email = |imported: &imported_user::Model| {
            let prints = Fingerprints::read(imported.user_id, &imported.fingerprints);
            let email = emails.get(&imported.user_id).map(ToString::to_string);
            prints
                .zip(email)
                .is_some_and(|(prints, email)| prints.matches(self.key, Column::Email, &email))
        };
        let imported = imported_user::find_many(transaction, &ids).await?;
        let own: HashSet<_> = imported
            .iter()
            .filter(|imported| imported.source == WITHOUT_IDS && has_imported_email(imported))
            .map(|imported| imported.user_id)
            .collect();
        let known = taken.into_iter();
        Ok(known
            .map(|(key, id)| (key, (id, own.contains(&id))))
            .collect())
    }

    async fn assign_missing_ids(
        &self,
        transaction: &Transaction,
        rows: Vec<RowWithId>,
        known: &HashMap<EmailKey, (i64, bool)>,
        written: &mut Written,
    ) -> Result<Vec<RowWithId>, DbErr> {
        let of_email = |mapped: &Mapped| known.get(&mapped.email.key()).copied();
        let new = rows.iter().filter(|row| of_email(&row.mapped).is_none());
        let mut fresh = self
            .allocate_ids(transaction, new.count())
            .await?
            .into_iter();
        let mut numbered = Vec::new();
        for mut row in rows {
            row.id = match of_email(&row.mapped) {
                Some((id, true)) => id,
                Some((winner, false)) => {
                    let taken = Outcome::skip(row.name, Reason::EmailTaken, Some(winner));
                    written.outcomes.push(taken);
                    continue;
                }
                None => fresh.next().ok_or(DbErr::RecordNotInserted)?,
            };
            numbered.push(row);
        }
        Ok(numbered)
    }

    /// Returns ids that no account has had. In a dry run, which must not take ids from the sequence, they are negative.
    async fn allocate_ids(
        &self,
        transaction: &Transaction,
        count: usize,
    ) -> Result<Vec<i64>, DbErr> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if self.dry_run {
            return Ok((-count..0).collect());
        }
        let backend = transaction.get_database_backend();
        let sql = match backend {
            DbBackend::Postgres => {
                "SELECT nextval(pg_get_serial_sequence('users', 'id')) AS id FROM generate_series(1, $1)"
            }
            // The inserts advance the sequence, and no other transaction writes until this one ends.
            _ => {
                "WITH RECURSIVE n(i) AS (SELECT 1 WHERE $1 > 0 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
                 SELECT i + coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'users'), 0) AS id FROM n"
            }
        };
        let statement = Statement::from_sql_and_values(backend, sql, [count.into()]);
        let rows = transaction.query_all_raw(statement).await?;
        rows.iter().map(|row| row.try_get("", "id")).collect()
    }
}
