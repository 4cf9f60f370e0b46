//! Deletes old data in Redis and in the database.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    clock::Clock,
    database::{self, Database},
    models::{api_token, audit, mail, password_reset, session},
    queue::Queue,
};
use prometheus::IntCounterVec;
use sea_orm::DbErr;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{config::retention::Retention, database_health::DatabaseHealth};

/// The interval between two sweeps of the queue.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// The interval between two deletions of rows.
const DELETE_INTERVAL: Duration = Duration::from_hours(1);
/// How long resets are kept after their expiry.
const RESET_RETENTION: TimeDelta = TimeDelta::days(1);
/// How long ended sessions are kept.
const SESSION_RETENTION: TimeDelta = session::KNOWN_AFTER_EXPIRY;
/// How long expired and revoked API tokens are listed.
const API_TOKEN_RETENTION: TimeDelta = TimeDelta::days(30);
/// How long ended mails are kept for support requests.
const MAIL_RETENTION: TimeDelta = TimeDelta::days(30);

/// Sweeps the queue and deletes rows until `stop`. Any number of workers may do this at the same time.
pub async fn run(
    db: Database,
    queue: Queue,
    health: DatabaseHealth,
    clock: Clock,
    retention: Retention,
    removed: IntCounterVec,
    stop: CancellationToken,
) {
    let mut sweeps = time::interval(SWEEP_INTERVAL);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deletes = time::interval(DELETE_INTERVAL);
    deletes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = sweeps.tick() => sweep(&queue).await,
            // Each deletion is committed separately, so it can be interrupted.
            _ = deletes.tick() => tokio::select! {
                () = stop.cancelled() => return,
                rows = delete_old(&db, clock.now(), retention, &removed) => log_deletion(rows, &health),
            },
        }
    }
}

/// Logs the result of a deletion. The health check logs an outage.
fn log_deletion(deleted: Result<u64, DbErr>, health: &DatabaseHealth) {
    match deleted {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "Old data deleted"),
        Err(error) if health.report(&error) => {}
        Err(error) => {
            let error = database::describe(&error);
            tracing::warn!(error, "Old data not deleted; next attempt in an hour");
        }
    }
}

/// Removes finished jobs from the queue. The relay reports a failure of Redis, so it is only a debug message here.
async fn sweep(queue: &Queue) {
    loop {
        match queue.sweep().await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "Finished jobs not removed from the queue");
                return;
            }
        }
    }
}

/// Deletes rows whose retention has ended, and erases the client data of others. Returns the number of these rows, and counts them in
/// `removed` by their kind.
pub async fn delete_old(
    db: &Database,
    now: DateTime<Utc>,
    retention: Retention,
    removed: &IntCounterVec,
) -> Result<u64, DbErr> {
    let mut total = 0;
    let mut count = |kind, rows| {
        removed.with_label_values(&[kind]).inc_by(rows);
        total += rows;
    };
    let (expired, activations) = (now - RESET_RETENTION, now - retention.activations);
    let resets = password_reset::delete_expired_before(db, expired, activations).await?;
    count("code_requests", resets);
    let sessions = session::delete_ended_before(db, now - SESSION_RETENTION).await?;
    count("sessions", sessions);
    let ended = now - API_TOKEN_RETENTION;
    count(
        "api_tokens",
        api_token::delete_ended_before(db, ended).await?,
    );
    count(
        "mails",
        mail::delete_ended_before(db, now - MAIL_RETENTION).await?,
    );
    count("mails", mail::delete_ended_of_deleted_accounts(db).await?);
    if let Some(age) = retention.audit_details {
        let details = audit::erase_details_before(db, now - age).await?;
        count("audit_details", details);
    }
    if let Some(age) = retention.client_data {
        let cutoff = now - age;
        count("client_data", session::erase_client_data(db, cutoff).await?);
        count("client_data", mail::erase_client_data(db, cutoff).await?);
        count(
            "client_data",
            password_reset::erase_client_data(db, cutoff).await?,
        );
    }
    Ok(total)
}
