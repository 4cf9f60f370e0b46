//! Coalesces the session look-ups and last-used updates of concurrent requests into one statement each.
//!
//! Nothing is cached: the query of a request runs after the request arrived, so a revoked session is never found alive.

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    batch::{Batch, BatchClosed},
    database::Database,
    models::{session, user},
};
use sea_orm::DbErr;
use uuid::Uuid;

use crate::http::error::ApiError;

/// Maximum number of sessions in one statement.
const MAX_BATCH_SIZE: usize = 64;

/// A session with its user, or `None`.
type Found = Option<(session::Model, user::Model)>;

/// Loads and updates sessions in batches.
pub struct SessionLookup {
    found: Batch<Uuid, Result<Found, DbErr>>,
    touched: Batch<(Uuid, DateTime<Utc>), Result<(), DbErr>>,
    idle: TimeDelta,
}

impl SessionLookup {
    /// Creates a loader. Sessions end when they are unused for `idle`.
    #[must_use]
    pub fn new(db: &Database, idle: TimeDelta) -> Self {
        let (reads, writes) = (db.clone(), db.clone());
        Self {
            found: Batch::new(MAX_BATCH_SIZE, 2, move |ids| find(reads.clone(), ids)),
            touched: Batch::new(MAX_BATCH_SIZE, 2, move |uses| touch(writes.clone(), uses)),
            idle,
        }
    }

    /// Returns a live session with its user, whose account is active.
    pub async fn find_alive(&self, id: Uuid, now: DateTime<Utc>) -> Result<Found, ApiError> {
        let found = self.found.submit(id).await??;
        Ok(found.filter(|found| session::is_valid(found, now, self.idle)))
    }

    /// Records that a session was used to refresh.
    pub async fn touch(&self, id: Uuid, now: DateTime<Utc>) -> Result<(), ApiError> {
        Ok(self.touched.submit((id, now)).await??)
    }
}

async fn find(db: Database, ids: Vec<Uuid>) -> Vec<Result<Found, DbErr>> {
    match session::find_many(&db, &ids).await {
        // Cloned, as several requests of a batch may have the same session.
        Ok(found) => ids.iter().map(|id| Ok(found.get(id).cloned())).collect(),
        Err(error) => ids.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn touch(db: Database, uses: Vec<(Uuid, DateTime<Utc>)>) -> Vec<Result<(), DbErr>> {
    let ids: Vec<_> = uses.iter().map(|(id, _)| *id).collect();
    let last = uses.iter().map(|(_, now)| *now).max().unwrap_or_default();
    let touched = session::touch_many(&db, &ids, last).await;
    uses.iter().map(|_| touched.clone()).collect()
}

impl From<BatchClosed> for ApiError {
    fn from(error: BatchClosed) -> Self {
        Self::Internal(error.to_string())
    }
}
