//! How much of large bodies is in memory at a time.
//!
//! A body with a picture is looked at whole, so it has to be kept whole. Whatever the number of clients, all of these
//! bodies together have so much room; what finds none waits for it at the client. Small bodies need none: what there is of
//! them is bounded by the number of connections.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::client_ip::ClientIp;

/// What all bodies together have, in KiB. What is made of a body while it is read takes as much once or twice again.
const TOTAL_KIB: usize = 64 * 1024;

/// What those of one client have, in KiB: two of the largest. A client that sends slowly keeps its own waiting.
const PER_CLIENT_KIB: usize = TOTAL_KIB / 4;

/// See the module.
pub struct BodyMemoryBudget {
    all: Arc<Semaphore>,
    clients: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The place of one body, which is free again when this is dropped.
#[derive(Debug)]
pub struct BudgetPermit {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Default for BodyMemoryBudget {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(TOTAL_KIB)),
            clients: Mutex::default(),
        }
    }
}

impl BodyMemoryBudget {
    /// Waits for a place for so many bytes. `None` never happens while the program runs.
    pub async fn take(&self, client_ip: ClientIp, bytes: usize) -> Option<BudgetPermit> {
        let size = u32::try_from(bytes.div_ceil(1024).min(PER_CLIENT_KIB)).ok()?;
        // First the own, so that a client that has enough stands in nobody's way.
        let own = self.client(client_ip).acquire_many_owned(size).await.ok()?;
        let all = Arc::clone(&self.all).acquire_many_owned(size).await.ok()?;
        Some(BudgetPermit {
            _all: all,
            _own: own,
        })
    }

    fn client(&self, client_ip: ClientIp) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, client| client.strong_count() > 0);
        let client = clients.entry(client_ip.network()).or_default();
        client.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(PER_CLIENT_KIB));
            *client = Arc::downgrade(&new);
            new
        })
    }
}
