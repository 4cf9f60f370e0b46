//! Verification of the audit log.

use latchkey_shared::models::audit;

use crate::{app_state::App, http::error::ApiError};

/// Verifies the whole hash chain. This is expensive, so a second verification at the same time fails with a 503.
pub async fn verify(app: &App) -> Result<Result<audit::Head, audit::ChainError>, ApiError> {
    let _permit = app
        .audit_verification
        .try_acquire()
        .map_err(|_| ApiError::Busy)?;
    match audit::verify(&app.db, &app.audit_key, None).await {
        Err(audit::ChainError::Database(error)) => Err(error.into()),
        result => {
            if let Err(error) = &result {
                tracing::error!(%error, "Audit log verification failed");
            }
            Ok(result)
        }
    }
}
