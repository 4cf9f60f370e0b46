//! An attempt that is counted before its outcome is known.

use std::sync::Arc;

use fred::{clients::Client, types::scripts::Script};
use tokio::sync::Semaphore;

/// A try that was counted before anybody knew how it ends. It is taken back unless it is said to stand: whoever was let
/// down by the service, or went away before it knew anything, has not guessed wrong.
#[must_use = "dropped, it is taken back"]
pub struct AttemptGuard {
    pub(super) redis: Client,
    pub(super) turns: Arc<Semaphore>,
    pub(super) script: Script,
    pub(super) refunds: Vec<Refund>,
    pub(super) is_committed: bool,
}

/// One call of `refund.lua`.
pub(super) struct Refund {
    pub keys: Vec<String>,
    pub arguments: Vec<String>,
}

impl AttemptGuard {
    /// It counts from now on: the guess was looked at.
    pub fn commit(mut self) {
        self.is_committed = true;
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.is_committed {
            return;
        }
        let (redis, script) = (self.redis.clone(), self.script.clone());
        let turns = Arc::clone(&self.turns);
        let refunds = std::mem::take(&mut self.refunds);
        runtime.spawn(async move {
            // Never closed.
            let _turn = turns.acquire().await;
            for Refund { keys, arguments } in refunds {
                let refunded = Box::pin(script.evalsha_with_reload(&redis, keys, arguments));
                let done: Result<(), _> = refunded.await;
                if let Err(error) = done {
                    tracing::warn!(%error, "A try that came to nothing was left to count.");
                }
            }
        });
    }
}
