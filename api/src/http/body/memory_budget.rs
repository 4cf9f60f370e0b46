//! Limits the memory that large request bodies occupy at any one time.
//!
//! A body with a picture is buffered whole before it is parsed. This budget bounds the sum of all such buffers, whatever the
//! number of clients. A request without memory waits, and TCP back-pressure makes its client wait. Small bodies bypass the
//! budget; the connection limit bounds them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::{body::WITH_PICTURE, client_ip::ClientIp};

/// Memory for the bodies of one client network, in KiB: one of the maximum size. A slow client delays only itself.
const PER_CLIENT_KIB: usize = WITH_PICTURE / 1024;

/// Memory for the bodies of one IPv6 site (/48), in KiB, so that one customer cannot take much of it.
const PER_SITE_KIB: usize = 2 * PER_CLIENT_KIB;

/// Memory for all bodies, in KiB. Large compared with the shares, so that a few slow clients do not take all of it. Parsing a body
/// needs once or twice as much again.
const TOTAL_KIB: usize = 16 * PER_CLIENT_KIB;

/// The memory budget for request bodies, shared by all connections of the process.
pub struct BodyMemoryBudget {
    total: Arc<Semaphore>,
    /// The shares of the client networks and sites with a body in flight.
    shares: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// Memory reserved for one body. Released on drop.
#[derive(Debug)]
pub struct BudgetPermit {
    _total: OwnedSemaphorePermit,
    _site: Option<OwnedSemaphorePermit>,
    _client: OwnedSemaphorePermit,
}

impl Default for BodyMemoryBudget {
    fn default() -> Self {
        Self {
            total: Arc::new(Semaphore::new(TOTAL_KIB)),
            shares: Mutex::default(),
        }
    }
}

impl BodyMemoryBudget {
    /// Waits until memory for `bytes` bytes is available, and reserves it. Returns `None` only if a semaphore is closed, which
    /// this type never does.
    pub async fn reserve(&self, client_ip: ClientIp, bytes: usize) -> Option<BudgetPermit> {
        let kib = u32::try_from(bytes.div_ceil(1024).min(PER_CLIENT_KIB)).ok()?;
        // The client's share comes first, so that a client at its limit does not block others.
        let client = self.share(client_ip.network(), PER_CLIENT_KIB);
        let client = client.acquire_many_owned(kib).await.ok()?;
        let site = match client_ip.site().map(|site| self.share(site, PER_SITE_KIB)) {
            Some(site) => Some(site.acquire_many_owned(kib).await.ok()?),
            None => None,
        };
        let total = Arc::clone(&self.total).acquire_many_owned(kib).await.ok()?;
        Some(BudgetPermit {
            _total: total,
            _site: site,
            _client: client,
        })
    }

    /// Returns the share of a client network or site. Forgets shares without a body in flight.
    fn share(&self, network: String, kib: usize) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| share.strong_count() > 0);
        let share = shares.entry(network).or_default();
        share.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(kib));
            *share = Arc::downgrade(&new);
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
        ClientIp::resolve(Some(address), &HeaderMap::new(), &Proxies::default())
    }

    /// C2: a client has at most one large body in memory, and fifteen clients leave memory for another.
    #[tokio::test]
    async fn fifteen_clients_leave_body_memory_for_another() {
        let budget = BodyMemoryBudget::default();
        let mut permits = Vec::new();
        for number in 1..16 {
            let (client, again) = (
                client(&format!("192.0.2.{number}")),
                client(&format!("192.0.2.{number}")),
            );
            permits.push(budget.reserve(client, WITH_PICTURE).await.unwrap());
            let mut second = Box::pin(budget.reserve(again, WITH_PICTURE));
            assert!(matches!(poll!(second.as_mut()), Poll::Pending));
        }

        let another = budget.reserve(client("198.51.100.1"), WITH_PICTURE);

        assert!(matches!(poll!(Box::pin(another)), Poll::Ready(Some(_))));
    }

    /// C2: all networks of one /48 share an eighth of the budget.
    #[tokio::test]
    async fn ipv6_site_has_an_eighth_of_the_body_memory() {
        let budget = BodyMemoryBudget::default();
        let mut permits = Vec::new();
        for network in 0..2 {
            let client = client(&format!("2001:db8:1:{network}::1"));
            permits.push(budget.reserve(client, PER_CLIENT_KIB * 1024).await.unwrap());
        }
        let mut third = Box::pin(budget.reserve(client("2001:db8:1:2::1"), 1024));
        assert!(matches!(poll!(third.as_mut()), Poll::Pending));
        budget
            .reserve(client("2001:db8:2::1"), PER_CLIENT_KIB * 1024)
            .await
            .unwrap();
        permits.pop();
        assert!(third.await.is_some());
    }
}
