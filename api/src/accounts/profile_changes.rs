//! Changes of profiles that concern nobody but the row itself, those of one moment in one statement.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    batch::Batch,
    database::Database,
    models::user::{
        self,
        profile::{self, SimpleProfileUpdate},
    },
};
use sea_orm::DbErr;

use crate::http::{
    error::ApiError,
    together::{MAX_BATCH_SIZE, is_refusal},
};

/// A change, and when it is made.
type PendingReset = (SimpleProfileUpdate, DateTime<Utc>);

/// The account as it is then, or nothing.
type Changed = Option<user::Model>;

/// See the module.
pub struct ProfileChanges(Batch<PendingReset, Result<Changed, DbErr>>);

impl ProfileChanges {
    /// Changes in a database, by sessions that end when they are idle for so long.
    #[must_use]
    pub fn new(db: &Database, idle: TimeDelta) -> Self {
        let db = db.clone();
        Self(Batch::new(MAX_BATCH_SIZE, 2, move |all| {
            write(db.clone(), all, idle)
        }))
    }

    /// Writes a change and returns the account as it is then; `None` when it was not written: because the session or the
    /// account does not count any more, or only because it could not be together with others. Whoever writes it by itself
    /// learns which.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn write(
        &self,
        change: SimpleProfileUpdate,
        now: DateTime<Utc>,
    ) -> Result<Changed, ApiError> {
        Ok(self.0.ask((change, now)).await??)
    }
}

async fn write(
    db: Database,
    all: Vec<PendingReset>,
    idle: TimeDelta,
) -> Vec<Result<Changed, DbErr>> {
    let askers: Vec<_> = all.iter().map(|(change, _)| change.user_id).collect();
    let now = all.iter().map(|(_, now)| *now).max().unwrap_or_default();
    // One statement changes a row once.
    let mut seen = HashSet::new();
    let firsts = all
        .into_iter()
        .filter(|(change, _)| seen.insert(change.user_id));
    let once: Vec<_> = firsts.map(|(change, _)| change).collect();
    let mut changed: HashMap<_, _> = match profile::change_many(&db, &once, now, idle).await {
        Ok(changed) => changed.into_iter().map(|user| (user.id, user)).collect(),
        // Not for all of them, perhaps.
        Err(error) if is_refusal(&error) => HashMap::new(),
        Err(error) => return askers.iter().map(|_| Err(error.clone())).collect(),
    };
    // The first of an account takes its row.
    askers.iter().map(|id| Ok(changed.remove(id))).collect()
}
