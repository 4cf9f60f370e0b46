//! Places for mails. Where there are several, notices never take all: codes do not wait until every notice is done.

use std::sync::Arc;

use latchkey_shared::models::mail::Priority;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct DeliverySlotPool {
    free: Arc<Semaphore>,
    /// What notices may take of them.
    for_notices: Arc<Semaphore>,
}

/// A place, until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, somebody else has it"]
pub(crate) struct SlotPermit {
    _for_notices: Option<OwnedSemaphorePermit>,
    _free: Option<OwnedSemaphorePermit>,
}

impl DeliverySlotPool {
    /// So many, all free.
    pub(crate) fn new(number: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(number)),
            for_notices: Arc::new(Semaphore::new((number * 3 / 4).max(1))),
        }
    }

    /// How many are free for mails of a priority at the moment.
    pub(crate) fn free(&self, priority: Priority) -> usize {
        match priority {
            Priority::High => self.free.available_permits(),
            Priority::Normal => self
                .free
                .available_permits()
                .min(self.for_notices.available_permits()),
        }
    }

    /// Waits for a free place. The semaphores are never closed, so there is one in the end.
    pub(crate) async fn take(&self, priority: Priority) -> SlotPermit {
        // The first of the two, so that no more notices than these can be in front of a code.
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
