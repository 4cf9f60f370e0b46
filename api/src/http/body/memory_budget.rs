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

/// What those of all networks of one IPv6 /48 have, in KiB, so that one customer cannot take all.
const SITE: usize = TOTAL_KIB / 2;

/// See the module.
pub struct BodyMemoryBudget {
    all: Arc<Semaphore>,
    /// The room of each client network and of each site that has a body under way.
    clients: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The place of one body, which is free again when this is dropped.
#[derive(Debug)]
pub struct BudgetPermit {
    _all: OwnedSemaphorePermit,
    _site: Option<OwnedSemaphorePermit>,
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
        let kib = u32::try_from(bytes.div_ceil(1024).min(PER_CLIENT_KIB)).ok()?;
        // First the own, so that a client that has enough stands in nobody's way.
        let own = self.client(client_ip.network(), PER_CLIENT_KIB);
        let own = own.acquire_many_owned(kib).await.ok()?;
        let site = match client_ip.site().map(|site| self.client(site, SITE)) {
            Some(site) => Some(site.acquire_many_owned(kib).await.ok()?),
            None => None,
        };
        let all = Arc::clone(&self.all).acquire_many_owned(kib).await.ok()?;
        Some(BudgetPermit {
            _all: all,
            _site: site,
            _own: own,
        })
    }

    fn client(&self, network: String, size: usize) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, client| client.strong_count() > 0);
        let client = clients.entry(network).or_default();
        client.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(size));
            *client = Arc::downgrade(&new);
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;
    use poem::http::HeaderMap;

    use super::*;
    use crate::config::proxies::Proxies;

    fn client(address: &str) -> ClientIp {
        let address = address.parse().unwrap();
        ClientIp::behind(Some(address), &HeaderMap::new(), &Proxies::default())
    }

    /// C2: all networks of one /48 have half of the room.
    #[tokio::test]
    async fn ipv6_site_leaves_half_of_the_body_memory() {
        let room = BodyMemoryBudget::default();
        let mut places = Vec::new();
        for network in 0..2 {
            let client = client(&format!("2001:db8:1:{network}::1"));
            places.push(room.take(client, PER_CLIENT_KIB * 1024).await.unwrap());
        }
        let mut third = Box::pin(room.take(client("2001:db8:1:2::1"), 1024));
        assert!(matches!(poll!(third.as_mut()), Poll::Pending));
        room.take(client("2001:db8:2::1"), PER_CLIENT_KIB * 1024)
            .await
            .unwrap();
        places.pop();
        assert!(third.await.is_some());
    }
}
