//! Checks the database, its schema and its queued mails.

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    clock::Clock,
    database::{self, Database, DatabaseError},
    health,
    models::mail,
};
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, Statement};

use super::{check_clock, report::Report, smtp};
use crate::{
    config::Config,
    service::{self, StartError},
};

/// The age from which a queued mail is late.
const LATE: TimeDelta = TimeDelta::minutes(5);

/// Checks connection, schema, writes, clock, deliveries and the oldest queued mail.
pub(super) async fn check(config: &Config, clock: &Clock, report: &mut Report) {
    let db = match database::connect(config.common.database_url.as_str()).await {
        Ok(db) => db,
        Err(error) => return fail(&error, report),
    };
    let product = match db.get_database_backend() {
        DbBackend::Postgres => "PostgreSQL",
        _ => "SQLite",
    };
    match service::check_schema(&db).await {
        Ok(()) => report.ok("database", format!("{product}, all migrations applied")),
        Err(StartError::Schema(missing)) => {
            let message = format!("{product}, {missing} migration(s) missing");
            return report.fail("database", message, "run latchkey-api migrate");
        }
        Err(StartError::Database(error)) => return fail(&error, report),
        Err(error) => return report.fail("database", error, ""),
    }
    match health::check_database(&db).await {
        Ok(()) => report.ok("database", "accepts writes"),
        Err(refusal) => report.refusal("database", &refusal),
    }
    let before = clock.now();
    match current_time(&db).await {
        Ok(time) => check_clock(product, time, before, clock.now(), report),
        Err(error) => report.refusal("database", &(&error).into()),
    }
    smtp::check_deliveries(&db, clock.now(), report).await;
    match mail::oldest_queued(&db).await {
        Ok(oldest) => check_oldest(oldest.map(|created_at| clock.now() - created_at), report),
        Err(error) => report.refusal("database", &(&error).into()),
    }
}

/// Reports why the database cannot be used. The errors without a refusal contain the remedy.
fn fail(error: &DatabaseError, report: &mut Report) {
    match error {
        DatabaseError::Connect(error) => report.refusal("database", &error.into()),
        other => report.fail("database", other, ""),
    }
}

fn check_oldest(age: Option<TimeDelta>, report: &mut Report) {
    let Some(age) = age else {
        return report.ok("database", "no queued mails");
    };
    let message = format!("the oldest queued mail is {} s old", age.num_seconds());
    if age > LATE {
        let remedy = "check that a worker is running; latchkey-worker mails list --state queued shows the reason";
        report.warn("database", message, remedy);
    } else {
        report.ok("database", message);
    }
}

async fn current_time(db: &Database) -> Result<DateTime<Utc>, DbErr> {
    let backend = db.get_database_backend();
    let milliseconds = match backend {
        DbBackend::Postgres => {
            "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
        }
        _ => "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    };
    let query = Statement::from_string(backend, format!("{milliseconds} AS now"));
    let now: i64 = match db.query_one_raw(query).await? {
        Some(row) => row.try_get("", "now")?,
        None => 0,
    };
    Ok(DateTime::from_timestamp_millis(now).unwrap_or_default())
}
