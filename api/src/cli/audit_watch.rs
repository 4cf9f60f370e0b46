//! Watches the audit chain while the server runs.

use std::time::Duration;

use latchkey_shared::models::audit::{ChainError, HeadWatcher};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app_state::App;

/// Interval between two checks of the audit chain.
const WATCH_INTERVAL: Duration = Duration::from_mins(10);

/// Logs the chain head at the start, at the end, and when it has changed in between, since the program's log is stored apart
/// from the database. Logs an error if the last known head is no longer part of the chain.
pub async fn watch_audit_log(app: App, stop: CancellationToken) {
    let mut watch = HeadWatcher::new(app.audit_key.clone());
    let mut logged = None;
    loop {
        let last = stop.is_cancelled();
        match watch.check(&app.db).await {
            Ok(head) => {
                if last || logged.as_ref() != Some(&head) {
                    tracing::info!(audit.head = %head, "Audit chain head");
                    logged = Some(head);
                }
            }
            Err(ChainError::Database(error)) => {
                app.report_failure(&error.into(), "Audit chain head not read");
            }
            Err(broken) => tracing::error!(%broken, "The audit log is not intact"),
        }
        if last {
            return;
        }
        let _ = timeout(WATCH_INTERVAL, stop.cancelled()).await;
    }
}
