//! Whether what a program depends on answers.

use std::{fmt, future::Future, time::Duration};

/// A dependency that has not answered by then counts as gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// `ok`, or in a fixed word what is wrong. The cause is logged and not told: error texts name hosts and users.
pub async fn ask<T, E: fmt::Display>(
    dependency: &'static str,
    answer: impl Future<Output = Result<T, E>>,
) -> &'static str {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(_)) => "ok",
        Ok(Err(error)) => {
            tracing::warn!(dependency, %error, "A dependency fails.");
            "fails"
        }
        Err(_) => {
            tracing::warn!(dependency, "A dependency does not answer in time.");
            "does not answer"
        }
    }
}
