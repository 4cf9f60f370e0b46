//! Deletes due accounts while the server runs. The API does this, and not the worker, because only it has `MEDIA_DIR`.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::{deletion, unverified_accounts},
    app_state::App,
};

/// Interval between two deletions.
const INTERVAL: Duration = Duration::from_mins(1);

/// Deletes the accounts whose deletion is due, and those that were never verified, once a minute until `stop`.
pub async fn delete_due_accounts(app: App, stop: CancellationToken) {
    loop {
        if let Err(error) = deletion::delete_due(&app).await {
            app.report_failure(&error, "Due accounts not deleted");
        }
        if let Err(error) = unverified_accounts::remove_due(&app).await {
            app.report_failure(&error, "Unverified accounts not deleted");
        }
        if timeout(INTERVAL, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}
