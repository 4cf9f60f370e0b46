//! The relay: whatever is due and was not pushed lately is pushed again.
//!
//! It makes up for an API that died between commit and push, for a Redis that lost its queue, for a worker that died
//! with a claim; and it is what wakes every mail that was put off.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    clock::Clock,
    database::{self, Database},
    mail::{self, Priority},
    queue::{Queue, QueueError},
};
use sea_orm::DbErr;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::metrics::DeliveryMetrics;

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(1);
/// What was pushed within this time is left alone: it is on its way.
const PUSHED_WITHIN: TimeDelta = TimeDelta::seconds(5);
/// It fills the queue up to here and not to its brim, as what it pushes while the queue is long is mostly in there
/// already.
const LEVEL: usize = 1_000;
/// How many mails it takes at a time.
const BATCH: usize = 500;

/// Why nothing could be pushed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The rows could not be read.
    #[error("the database: {}", database::describe(.0))]
    Database(#[from] DbErr),
    /// The queue could not be filled.
    #[error("the queue: {0}")]
    Queue(#[from] QueueError),
}

/// Looks every second until it is stopped. An outage is logged when it begins and when it ends.
pub async fn run(
    db: Database,
    queue: Queue,
    clock: Clock,
    metrics: DeliveryMetrics,
    stop: CancellationToken,
) {
    let mut ticks = time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut out = false;
    loop {
        let passed = tokio::select! {
            () = stop.cancelled() => return,
            passed = async { ticks.tick().await; pass(&db, &queue, clock.now()).await } => passed,
        };
        if let Ok(pushed) = passed {
            metrics.relayed.inc_by(pushed as u64);
        }
        match &passed {
            Ok(_) if out => tracing::info!("The relay works again."),
            Err(error) if !out => {
                tracing::error!(%error, "The relay failed; it goes on trying every second.");
            }
            _ => {}
        }
        out = passed.is_err();
    }
}

/// Pushes what is due while the queues have room, codes first; returns how many mails.
///
/// # Errors
/// When the database or Redis fails. What was taken and not pushed is taken again some seconds later.
pub async fn pass(db: &Database, queue: &Queue, now: DateTime<Utc>) -> Result<usize, RelayError> {
    let mut pushed = 0;
    for priority in Priority::ALL {
        pushed += fill(db, queue, priority, now).await?;
    }
    Ok(pushed)
}

async fn fill(
    db: &Database,
    queue: &Queue,
    priority: Priority,
    now: DateTime<Utc>,
) -> Result<usize, RelayError> {
    let mut pushed = 0;
    loop {
        let room = LEVEL
            .saturating_sub(queue.depth(priority).await?)
            .min(BATCH);
        if room == 0 {
            return Ok(pushed);
        }
        let due = mail::take_due(db, priority, now, PUSHED_WITHIN, room as u64).await?;
        queue.push(&due, priority).await?;
        pushed += due.len();
        if due.len() < room {
            return Ok(pushed);
        }
    }
}
