//! The relay: whatever is due and was not pushed lately is pushed again.
//!
//! It makes up for an API that died between commit and push, for a Redis that lost its queue, for a worker that died
//! with a claim; and it is what wakes every mail that was put off. While the queue cannot be used, because Redis is gone,
//! full, a replica or unable to persist, the relay begins the deliveries of due mails itself: the rows are the truth.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    clock::Clock,
    database::{self, Database},
    dependency::Refusal,
    models::mail::{self, Priority},
    queue::{Queue, QueueError},
    redis::{self, fault},
};
use sea_orm::DbErr;
use tokio::time::{self, MissedTickBehavior, timeout};

use crate::{metrics::DeliveryMetrics, queue::consumer::DeliverySlots};

/// How often it looks.
const RELAY_INTERVAL: Duration = Duration::from_secs(1);
/// What was pushed within this time is left alone: it is on its way.
const PUSHED_WITHIN: TimeDelta = TimeDelta::seconds(5);
/// It fills the queue up to here and not to its brim, as what it pushes while the queue is long is mostly in there
/// already.
const REFILL_TARGET: usize = 1_000;
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
    Queue(Refusal),
}

impl From<QueueError> for RelayError {
    fn from(error: QueueError) -> Self {
        Self::Queue((&error).into())
    }
}

/// Looks every second until it is stopped. An outage is logged when it begins and when it ends.
pub async fn run(
    db: Database,
    queue: Queue,
    slots: DeliverySlots,
    clock: Clock,
    metrics: DeliveryMetrics,
) {
    let mut ticks = time::interval(RELAY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut out = false;
    loop {
        let relayed = async {
            ticks.tick().await;
            if out {
                // Nothing is taken for a queue that would refuse it.
                check(&queue).await?;
            }
            pass(&db, &queue, clock.now()).await
        };
        let passed = tokio::select! {
            () = slots.stop.cancelled() => return,
            passed = relayed => passed,
        };
        match &passed {
            Ok(pushed) => metrics.relayed.inc_by(*pushed as u64),
            Err(RelayError::Queue(_)) => match deliver_directly(&db, &slots, clock.now()).await {
                Ok(begun) => metrics.direct.inc_by(begun as u64),
                Err(error) => tracing::debug!(%error, "No due mail was read from the database"),
            },
            Err(RelayError::Database(_)) => {}
        }
        report(&passed, out);
        out = passed.is_err();
    }
}

/// Logs when the relay begins to fail and when it works again.
fn report(passed: &Result<usize, RelayError>, out: bool) {
    match passed {
        Ok(_) if out => tracing::info!("The relay works again."),
        Err(RelayError::Queue(error)) if !out => {
            tracing::error!(
                %error,
                "The relay failed: the queue cannot be used. Due mails are delivered straight from the database; codes wait for Redis"
            );
        }
        Err(error) if !out => {
            tracing::error!(%error, "The relay failed; it goes on trying every second.");
        }
        _ => {}
    }
}

/// Whether the queue accepts writes.
async fn check(queue: &Queue) -> Result<(), RelayError> {
    match timeout(redis::COMMAND_TIMEOUT, queue.check_write()).await {
        Ok(checked) => Ok(checked?),
        Err(_) => Err(RelayError::Queue(fault::timed_out())),
    }
}

/// Begins the deliveries of due mails, codes first, as many as there are free slots; returns how many.
///
/// # Errors
/// When the database fails.
pub async fn deliver_directly(
    db: &Database,
    slots: &DeliverySlots,
    now: DateTime<Utc>,
) -> Result<usize, DbErr> {
    let mut begun = 0;
    for priority in Priority::ALL {
        let free = slots.free(priority) as u64;
        if free == 0 {
            continue;
        }
        let due = mail::take_due(db, priority, now, PUSHED_WITHIN, free).await?;
        begun += due.len();
        for mail in due {
            slots.begin(mail, priority).await;
        }
    }
    Ok(begun)
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
        let room = REFILL_TARGET
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
