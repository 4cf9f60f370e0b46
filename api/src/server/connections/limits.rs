//! Limits the number of open connections, in total and per client IP.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::config::{connections::ConnectionSettings, proxies::Proxies};
use crate::server::connections::PAUSE_AFTER_ERROR;
use crate::{
    http::client_ip::{network, site},
    server::metrics::ConnectionMetrics,
};

/// The limit of an IPv6 /48, as a multiple of the limit of one client IP.
const SITE_FACTOR: usize = 4;

/// The number of open connections of each client IP and each IPv6 /48. Has at most two entries a connection.
type Clients = Arc<Mutex<HashMap<IpNet, usize>>>;

/// Takes a permit for each connection.
pub(super) struct ConnectionLimits {
    total: Arc<Semaphore>,
    clients: Clients,
    max_per_ip: usize,
    proxies: Proxies,
    metrics: ConnectionMetrics,
}

/// The permit of one open connection. Released on drop.
pub(super) struct ConnectionPermit {
    _total: OwnedSemaphorePermit,
    /// The client network and the /48 that count the connection. Empty for a trusted proxy.
    networks: Vec<IpNet>,
    clients: Clients,
    metrics: ConnectionMetrics,
}

impl ConnectionLimits {
    pub(super) fn new(
        settings: ConnectionSettings,
        proxies: Proxies,
        metrics: ConnectionMetrics,
    ) -> Self {
        metrics
            .limit
            .set(i64::try_from(settings.max).unwrap_or(i64::MAX));
        Self {
            total: Arc::new(Semaphore::new(settings.max)),
            clients: Clients::default(),
            max_per_ip: settings.max_per_ip,
            proxies,
            metrics,
        }
    }

    /// Waits for a permit, then accepts the next connection within the limit of its client IP. At the total limit, connections
    /// wait in the kernel's backlog. A connection over the limit of its client IP is closed at once, as it would otherwise use
    /// the permit of another client.
    pub(super) async fn accept(
        &self,
        listener: &TcpListener,
    ) -> (TcpStream, SocketAddr, ConnectionPermit) {
        loop {
            let Ok(total) = Arc::clone(&self.total).acquire_owned().await else {
                unreachable!("the semaphore is never closed");
            };
            match listener.accept().await {
                Ok((stream, remote)) => match self.admit(remote.ip(), total) {
                    Some(permit) => return (stream, remote, permit),
                    None => self.metrics.refused.inc(),
                },
                Err(error) => {
                    tracing::warn!(%error, "Accepting a connection failed");
                    sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    /// Returns a permit for a connection from `address`, or `None` at the limit of its client IP.
    fn admit(&self, address: IpAddr, total: OwnedSemaphorePermit) -> Option<ConnectionPermit> {
        let address = address.to_canonical();
        let mut networks = Vec::new();
        if !self.proxies.trust(&address) {
            let site_limit = self.max_per_ip.saturating_mul(SITE_FACTOR);
            let limits = [
                (Some(network(address)), self.max_per_ip),
                (site(address), site_limit),
            ];
            let mut clients = lock(&self.clients);
            for (network, limit) in limits {
                let Some(network) = network else { continue };
                if clients.get(&network).is_some_and(|open| *open >= limit) {
                    return None;
                }
                networks.push(network);
            }
            for network in &networks {
                *clients.entry(*network).or_default() += 1;
            }
        }
        self.metrics.open.inc();
        Some(ConnectionPermit {
            _total: total,
            networks,
            clients: Arc::clone(&self.clients),
            metrics: self.metrics.clone(),
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.metrics.open.dec();
        let mut clients = lock(&self.clients);
        for network in &self.networks {
            if let Some(open) = clients.get_mut(network) {
                *open -= 1;
                if *open == 0 {
                    clients.remove(network);
                }
            }
        }
    }
}

fn lock(clients: &Clients) -> MutexGuard<'_, HashMap<IpNet, usize>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::Registry;

    use super::*;

    /// C2
    #[test]
    fn ipv6_site_has_four_times_the_connections_of_a_network() {
        let settings = ConnectionSettings {
            max: 100,
            max_per_ip: 2,
            keep_alive: Duration::ZERO,
            request_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
            drain: Duration::ZERO,
        };
        let metrics = ConnectionMetrics::new(&Registry::new()).unwrap();
        let limits = ConnectionLimits::new(settings, Proxies::default(), metrics);
        let admit = |address: &str| {
            let total = Arc::clone(&limits.total).try_acquire_owned().unwrap();
            limits.admit(address.parse().unwrap(), total)
        };
        let mut permits: Vec<_> = (0..8)
            .map(|number| admit(&format!("2001:db8:1:{number}::1")).unwrap())
            .collect();
        assert!(admit("2001:db8:1:8::1").is_none());
        assert!(admit("2001:db8:2::1").is_some());
        permits.pop();
        assert!(admit("2001:db8:1:8::1").is_some());
        drop(permits);
        assert!(lock(&limits.clients).is_empty());
    }
}
