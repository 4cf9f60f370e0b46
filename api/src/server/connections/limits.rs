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
use crate::{http::client_ip::network, server::metrics::ConnectionMetrics};

/// The open connections of each client IP. It has as many entries as there are connections, at most.
type Clients = Arc<Mutex<HashMap<IpNet, usize>>>;

/// Takes a permit for each connection.
pub(super) struct ConnectionLimits {
    total: Arc<Semaphore>,
    clients: Clients,
    max_per_ip: usize,
    proxies: Proxies,
    metrics: ConnectionMetrics,
}

/// The permit of one open connection; given back on drop.
pub(super) struct ConnectionPermit {
    _total: OwnedSemaphorePermit,
    /// The client that it counts for; `None` for a trusted proxy.
    client: Option<IpNet>,
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

    /// Waits until there is a permit, and then for the next connection that may have it. At the total limit nothing is
    /// accepted, so that further connections wait in the kernel's backlog. A connection over its client's limit is closed at
    /// once: were it kept, it would take the place of another client's.
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
                    tracing::warn!(%error, "A connection could not be accepted");
                    sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    /// A permit for a connection from this address, unless its client has as many as it may have.
    fn admit(&self, address: IpAddr, total: OwnedSemaphorePermit) -> Option<ConnectionPermit> {
        let address = address.to_canonical();
        let client = (!self.proxies.trust(&address)).then(|| network(address));
        if let Some(client) = client {
            let mut clients = lock(&self.clients);
            let open = clients.entry(client).or_default();
            if *open >= self.max_per_ip {
                return None;
            }
            *open += 1;
        }
        self.metrics.open.inc();
        Some(ConnectionPermit {
            _total: total,
            client,
            clients: Arc::clone(&self.clients),
            metrics: self.metrics.clone(),
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.metrics.open.dec();
        let Some(client) = self.client else { return };
        let mut clients = lock(&self.clients);
        if let Some(open) = clients.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&client);
            }
        }
    }
}

fn lock(clients: &Clients) -> MutexGuard<'_, HashMap<IpNet, usize>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}
