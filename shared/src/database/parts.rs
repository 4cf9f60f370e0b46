//! Deletions and updates of many rows, a part at a time, so that other transactions do not wait for long.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _, QuerySelect as _,
    Select, UpdateMany,
};
use uuid::Uuid;

use crate::database::skip_locked;

/// Maximum number of rows in one statement.
const MAX_BATCH_SIZE: u64 = 1_000;

/// Deletes rows in parts of `MAX_BATCH_SIZE`, each in its own statement, so that other transactions do not wait for long and
/// a large backlog does not exceed a timeout. Skips rows that another transaction has locked. Returns the number of deleted rows.
///
/// # Errors
/// Rows that were deleted before the error stay deleted.
pub async fn delete_in_parts<E: EntityTrait>(
    db: &impl ConnectionTrait,
    found: Select<E>,
    id: E::Column,
) -> Result<u64, DbErr> {
    let part = found.select_only().column(id).limit(MAX_BATCH_SIZE);
    let part = skip_locked(part, db);
    let mut deleted = 0;
    loop {
        let ids = id.in_subquery(part.clone());
        let rows = E::delete_many().filter(ids).exec(db).await?.rows_affected;
        deleted += rows;
        if rows < MAX_BATCH_SIZE {
            return Ok(deleted);
        }
    }
}

/// Updates rows in parts of `MAX_BATCH_SIZE`, each in its own statement, as [`delete_in_parts`] deletes them. The rows are selected
/// before each statement, so that a long search blocks no write on SQLite. `found` must not find updated rows again. Returns the number
/// of updated rows.
///
/// # Errors
/// Rows that were updated before the error stay updated.
pub async fn update_in_parts<E: EntityTrait>(
    db: &impl ConnectionTrait,
    update: UpdateMany<E>,
    found: Select<E>,
    id: E::Column,
) -> Result<u64, DbErr> {
    let part = found.select_only().column(id).limit(MAX_BATCH_SIZE);
    let mut updated = 0;
    loop {
        let ids: Vec<Uuid> = part.clone().into_tuple().all(db).await?;
        if ids.is_empty() {
            return Ok(updated);
        }
        let these = E::find().select_only().column(id).filter(id.is_in(ids));
        let these = id.in_subquery(skip_locked(these, db));
        let rows = update.clone().filter(these).exec(db).await?.rows_affected;
        updated += rows;
        // The next run updates locked rows.
        if rows < MAX_BATCH_SIZE {
            return Ok(updated);
        }
    }
}
