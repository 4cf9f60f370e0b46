//! Pushes wake-ups for due mails that were not pushed recently.
//!
//! The relay covers an API that died between commit and push, a Redis that lost its queue, and a worker that died with a claim.
//! It also wakes deferred mails. While the queue cannot be used (Redis is down, full, a replica, or cannot persist), the relay
//! starts the deliveries of due mails itself.

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

use crate::{
    database_health::DatabaseHealth, metrics::DeliveryMetrics, queue::consumer::DeliverySlots,
};

/// The interval between two passes.
const RELAY_INTERVAL: Duration = Duration::from_secs(1);
/// Mails that were pushed within this time are skipped.
const PUSH_COOLDOWN: TimeDelta = TimeDelta::seconds(5);
/// The queue length up to which the relay fills it. In a longer queue, most due mails already have a wake-up.
const REFILL_TARGET: usize = 1_000;
/// Maximum number of mails in one push.
const MAX_BATCH_SIZE: usize = 500;

/// An error that stops a pass.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The due mails could not be read.
    #[error("database error: {}", database::describe(.0))]
    Database(#[from] DbErr),
    /// The queue could not be used.
    #[error("queue error: {0}")]
    Queue(Refusal),
}

impl From<QueueError> for RelayError {
    fn from(error: QueueError) -> Self {
        Self::Queue((&error).into())
    }
}

/// Runs a pass every second until the stop. The health checks log outages of the queue and of the database.
pub async fn run(
    db: Database,
    queue: Queue,
    slots: DeliverySlots,
    clock: Clock,
    metrics: DeliveryMetrics,
) {
    let mut ticks = time::interval(RELAY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_failing, mut is_logged) = (false, false);
    loop {
        let relayed = async {
            ticks.tick().await;
            if is_failing {
                // Before mails are marked as pushed.
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
            Err(RelayError::Queue(error)) => {
                slots.redis_failures().report(error.clone());
                match deliver_directly(&db, &slots, clock.now()).await {
                    Ok(started) => metrics.direct.inc_by(started as u64),
                    Err(error) => tracing::debug!(%error, "Due mails not read from the database"),
                }
            }
            Err(RelayError::Database(_)) => {}
        }
        is_logged = report(&passed, is_logged, &slots.health);
        is_failing = passed.is_err();
    }
}

/// Logs when the relay begins to fail and when it recovers, other than by outages. Returns whether the log says that it fails.
fn report(passed: &Result<usize, RelayError>, was_logged: bool, health: &DatabaseHealth) -> bool {
    match passed {
        Ok(_) if was_logged => tracing::info!("Relay recovered"),
        Err(RelayError::Database(error)) if health.report(error) => return was_logged,
        Err(RelayError::Queue(error)) => {
            tracing::debug!(%error, "Relay failed: the queue cannot be used");
            return was_logged;
        }
        Err(error) if !was_logged => {
            tracing::error!(%error, "Relay failed; it retries every second");
        }
        _ => {}
    }
    passed.is_err()
}

/// Checks that the queue accepts writes.
async fn check(queue: &Queue) -> Result<(), RelayError> {
    match timeout(redis::COMMAND_TIMEOUT, queue.check_write()).await {
        Ok(checked) => Ok(checked?),
        Err(_) => Err(RelayError::Queue(fault::timed_out())),
    }
}

/// Starts deliveries of due mails in the free slots, codes first, and returns their number.
pub async fn deliver_directly(
    db: &Database,
    slots: &DeliverySlots,
    now: DateTime<Utc>,
) -> Result<usize, DbErr> {
    let mut started = 0;
    for priority in Priority::ALL {
        let free = slots.free(priority) as u64;
        if free == 0 {
            continue;
        }
        let due = mail::take_due(db, priority, now, PUSH_COOLDOWN, free).await?;
        started += due.len();
        for mail in due {
            slots.start(mail, priority).await;
        }
    }
    Ok(started)
}

/// Pushes wake-ups for due mails until the queues are filled, codes first, and returns their number.
///
/// # Errors
/// When the database or Redis fails. Mails that were read and not pushed are read again some seconds later.
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
        let free = REFILL_TARGET
            .saturating_sub(queue.depth(priority).await?)
            .min(MAX_BATCH_SIZE);
        if free == 0 {
            return Ok(pushed);
        }
        let due = mail::take_due(db, priority, now, PUSH_COOLDOWN, free as u64).await?;
        queue.push(&due, priority).await?;
        pushed += due.len();
        if due.len() < free {
            return Ok(pushed);
        }
    }
}
