//! Limits concurrent deliveries. Notices use at most three quarters of several slots, so that codes need not wait for them.

use std::sync::Arc;

use latchkey_shared::models::mail::Priority;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A pool of slots. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct DeliverySlotPool {
    free: Arc<Semaphore>,
    /// The slots that notices may use.
    for_notices: Arc<Semaphore>,
}

/// A slot in use; released on drop.
#[derive(Debug)]
#[must_use = "dropping the permit releases the slot"]
pub(crate) struct SlotPermit {
    _for_notices: Option<OwnedSemaphorePermit>,
    _free: Option<OwnedSemaphorePermit>,
}

impl DeliverySlotPool {
    /// Creates a pool of `size` free slots.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(size)),
            for_notices: Arc::new(Semaphore::new((size * 3 / 4).max(1))),
        }
    }

    /// Returns the number of slots that are free for mails of a priority.
    pub(crate) fn free(&self, priority: Priority) -> usize {
        match priority {
            Priority::High => self.free.available_permits(),
            Priority::Normal => self
                .free
                .available_permits()
                .min(self.for_notices.available_permits()),
        }
    }

    /// Waits for a free slot. The semaphores are never closed.
    pub(crate) async fn acquire(&self, priority: Priority) -> SlotPermit {
        // Acquired first, so that waiting notices never queue in front of a code.
        let for_notices = match priority {
            Priority::High => None,
            Priority::Normal => Arc::clone(&self.for_notices).acquire_owned().await.ok(),
        };
        SlotPermit {
            _for_notices: for_notices,
            _free: Arc::clone(&self.free).acquire_owned().await.ok(),
        }
    }
}
