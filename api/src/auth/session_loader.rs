//! The one look-up that every access token costs, and the one note that every refresh is worth: asked for together by all
//! requests that need them at the same moment.
//!
//! Each request's question is put to the database after the request came, so a session that was ended before is found
//! ended. Nothing is kept from one question to the next.

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    batch::{Batch, BatchClosed},
    database::Database,
    models::{session, user},
};
use sea_orm::DbErr;
use uuid::Uuid;

use crate::http::error::ApiError;

/// How many sessions one statement asks for at most.
const MAX_BATCH_SIZE: usize = 64;

/// A session with its user, if there is one.
type Found = Option<(session::Model, user::Model)>;

/// See the module.
pub struct SessionLookup {
    found: Batch<Uuid, Result<Found, DbErr>>,
    touched: Batch<(Uuid, DateTime<Utc>), Result<(), DbErr>>,
    idle: TimeDelta,
}

impl SessionLookup {
    /// Look-ups in a database, of sessions that end when they are idle for so long.
    #[must_use]
    pub fn new(db: &Database, idle: TimeDelta) -> Self {
        let (reads, writes) = (db.clone(), db.clone());
        Self {
            found: Batch::new(MAX_BATCH_SIZE, 2, move |ids| find(reads.clone(), ids)),
            touched: Batch::new(MAX_BATCH_SIZE, 2, move |uses| touch(writes.clone(), uses)),
            idle,
        }
    }

    /// A living session with its user, who is active.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_alive(&self, id: Uuid, now: DateTime<Utc>) -> Result<Found, ApiError> {
        let found = self.found.submit(id).await??;
        Ok(found.filter(|found| session::counts(found, now, self.idle)))
    }

    /// Notes that a session was used to refresh.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn touch(&self, id: Uuid, now: DateTime<Utc>) -> Result<(), ApiError> {
        Ok(self.touched.submit((id, now)).await??)
    }
}

async fn find(db: Database, ids: Vec<Uuid>) -> Vec<Result<Found, DbErr>> {
    match session::find_many(&db, &ids).await {
        // Not taken out: several requests may have come with one session.
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
