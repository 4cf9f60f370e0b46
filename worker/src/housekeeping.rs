//! Housekeeping: what has ended goes away after a while, in Redis and in the database.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    clock::Clock,
    database::{self, Database},
    models::{mail, password_reset, session},
    queue::Queue,
};
use sea_orm::DbErr;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often the queue is swept.
const SWEEP_PERIOD: Duration = Duration::from_secs(5);
/// How often rows are deleted.
const DELETE_PERIOD: Duration = Duration::from_hours(1);
/// How long a reset stays after it ran out.
const KEEP_RESETS: TimeDelta = TimeDelta::days(1);
/// How long a session stays after it ended.
const KEEP_SESSIONS: TimeDelta = session::KNOWN_AFTER_EXPIRY;
/// How long an ended mail stays: the time that somebody has to ask what became of it.
const KEEP_MAILS: TimeDelta = TimeDelta::days(30);

/// Sweeps and deletes until it is stopped. Any number of workers may do this at once.
pub async fn run(db: Database, queue: Queue, clock: Clock, stop: CancellationToken) {
    let mut sweeps = time::interval(SWEEP_PERIOD);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deletes = time::interval(DELETE_PERIOD);
    deletes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = sweeps.tick() => sweep(&queue).await,
            // What is deleted by then stays deleted.
            _ = deletes.tick() => tokio::select! {
                () = stop.cancelled() => return,
                rows = delete_old(&db, clock.now()) => tell(rows),
            },
        }
    }
}

fn tell(deleted: Result<u64, DbErr>) {
    match deleted {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "Old rows were deleted."),
        Err(error) => {
            let error = database::describe(&error);
            tracing::warn!(
                error,
                "Old rows were not deleted; the next try is in an hour."
            );
        }
    }
}

/// The relay reports a Redis that is down; here it only means that there is nothing to sweep.
async fn sweep(queue: &Queue) {
    loop {
        match queue.sweep().await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "The queue was not swept.");
                return;
            }
        }
    }
}

/// Deletes rows that ended long ago; returns how many.
///
/// # Errors
/// When the database fails.
pub async fn delete_old(db: &Database, now: DateTime<Utc>) -> Result<u64, DbErr> {
    let resets = password_reset::delete_expired_before(db, now - KEEP_RESETS).await?;
    let sessions = session::delete_ended_before(db, now - KEEP_SESSIONS).await?;
    let mails = mail::delete_ended_before(db, now - KEEP_MAILS).await?;
    Ok(resets + sessions + mails)
}
