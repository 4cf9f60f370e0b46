//! The health of the database: outages that deliveries and other tasks report, and the health check that confirms them.
//!
//! An outage fails many mails at once. So tasks report their errors here instead of logging them. The health check logs the
//! start and the end of an outage once, with its remedy. No delivery starts until the outage has ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use latchkey_shared::{
    database::{self, Database, Outage},
    health::{self, Check, Checks, OK},
};
use sea_orm::DbErr;
use tokio::{sync::watch, time};
use tracing::Instrument as _;

/// The interval between two checks during an outage.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The health of the database. Clones share their state.
#[derive(Clone)]
pub struct DatabaseHealth(Arc<Inner>);

struct Inner {
    db: Database,
    check: Check,
    /// Whether deliveries have to wait.
    is_failing: watch::Sender<bool>,
    is_diagnosing: AtomicBool,
}

impl DatabaseHealth {
    /// Creates the health check of a database.
    #[must_use]
    pub fn new(db: &Database, checks: &Checks) -> Self {
        Self(Arc::new(Inner {
            db: db.clone(),
            check: checks.of("database"),
            is_failing: watch::Sender::new(false),
            is_diagnosing: AtomicBool::new(false),
        }))
    }

    /// Attempts a write, or returns the cached result of the last seconds: [`OK`], or a word for the problem.
    pub async fn ask(&self) -> &'static str {
        Box::pin(self.0.check.ask(health::check_database(&self.0.db))).await
    }

    /// Reports an error of a task. For an outage, pauses deliveries, starts the health check in the background and returns true:
    /// the check logs the outage. Returns false for errors of a statement, which the task has to log.
    #[must_use]
    pub fn report(&self, error: &DbErr) -> bool {
        if Outage::of(error).is_none() {
            return false;
        }
        if !self.0.is_diagnosing.swap(true, Ordering::AcqRel) {
            self.0.is_failing.send_replace(true);
            let diagnosis = self.clone().diagnose(database::describe(error));
            tokio::spawn(diagnosis.in_current_span());
        }
        true
    }

    /// Waits until the database works, as far as is known.
    pub async fn wait_until_available(&self) {
        // Fails only if the sender is dropped, which `self` owns.
        let _ = self
            .0
            .is_failing
            .subscribe()
            .wait_for(|failing| !failing)
            .await;
    }

    /// Checks the database until it works. If it works at once, a task failed for a reason of its own, such as a lock. Further
    /// reports within the validity of the check are then ignored.
    async fn diagnose(self, error: String) {
        self.0.check.expire().await;
        let is_confirmed = self.ask().await != OK;
        if is_confirmed {
            self.wait_for_recovery().await;
        }
        self.0.is_failing.send_replace(false);
        if !is_confirmed {
            tracing::warn!(
                error,
                "Database error, although the health check succeeds; mails are tried again"
            );
            time::sleep(health::VALIDITY).await;
        }
        self.0.is_diagnosing.store(false, Ordering::Release);
    }

    async fn wait_for_recovery(&self) {
        loop {
            time::sleep(RETRY_INTERVAL).await;
            self.0.check.expire().await;
            if self.ask().await == OK {
                return;
            }
        }
    }
}
