//! An attempt that is counted before its outcome is known.

use std::sync::Arc;

use fred::{clients::Client, types::scripts::Script};
use latchkey_shared::dependency::{FailureReports, Refusal};
use tokio::sync::Semaphore;

/// A counted attempt. It is refunded on drop unless it is committed: a request that is cancelled, or fails before the
/// password or code is compared, was not a guess.
#[must_use = "the attempt is refunded on drop"]
pub struct AttemptGuard {
    pub(super) redis: Client,
    pub(super) concurrency: Arc<Semaphore>,
    pub(super) script: Script,
    pub(super) failures: FailureReports,
    pub(super) refunds: Vec<Refund>,
}

/// The keys and arguments of one call of `refund.lua`.
pub(super) struct Refund {
    pub keys: Vec<String>,
    pub arguments: Vec<String>,
}

impl AttemptGuard {
    /// Keeps the attempt counted.
    pub fn commit(mut self) {
        self.refunds.clear();
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let refunds = std::mem::take(&mut self.refunds);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if refunds.is_empty() {
            return;
        }
        let (redis, script) = (self.redis.clone(), self.script.clone());
        let failures = self.failures.clone();
        let concurrency = Arc::clone(&self.concurrency);
        runtime.spawn(async move {
            // The semaphore is never closed.
            let _permit = concurrency.acquire().await;
            for Refund { keys, arguments } in refunds {
                let refund = Box::pin(script.evalsha_with_reload(&redis, keys, arguments));
                let refunded: Result<(), _> = refund.await;
                if let Err(error) = refunded {
                    tracing::debug!(%error, "Attempt not refunded");
                    failures.report(Refusal::from(&error));
                }
            }
        });
    }
}
