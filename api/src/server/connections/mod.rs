//! The HTTP/1.1 server below the routes. It accepts connections, limits their number, heads and idle time, and closes them at
//! shutdown.
//!
//! A connection has five timeouts:
//!
//! - `KEEP_ALIVE_SECONDS` for the next complete head, from the start of the connection or the end of the last response (see `http1`);
//! - `REQUEST_SECONDS` for a body (see `http::body`);
//! - `WRITE_SECONDS` for progress of a response (see `write_timeout`);
//! - two seconds after the last response for the client to close its side (see `write_timeout`);
//! - `SHUTDOWN_SECONDS` for running requests at shutdown.
//!
//! HTTP/2 is not supported: clients do not use it without TLS, and it would allow many concurrent requests on one connection.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use poem::{
    Endpoint, Response,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{connections::ConnectionSettings, proxies::Proxies},
    server::metrics::ConnectionMetrics,
};

mod files;
mod http1;
mod limits;
mod write_timeout;

pub use crate::server::connections::files::raise_file_limit;
use crate::server::connections::http1::Connection;
use crate::server::connections::limits::ConnectionLimits;
use crate::server::connections::write_timeout::Stream;

/// Size of the kernel's send buffer, in bytes; Linux doubles it for its own data. It limits the kernel's memory, and makes
/// progress visible: a socket becomes writable again when the client has acknowledged a third of it.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// Maximum number of connections that wait in the kernel to be accepted; `net.core.somaxconn` can lower it.
const BACKLOG: u32 = 1024;

/// The pause after a failed accept, for example without free file descriptors.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// Opens a listening socket. Its connections inherit the size of its send buffer.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves client connections.
pub struct Server<E> {
    /// The handler of requests.
    pub endpoint: E,
    /// Limits and timeouts of connections.
    pub settings: ConnectionSettings,
    /// Trusted proxies, which are exempt from the limit per client IP.
    pub proxies: Proxies,
    /// Metrics of connections.
    pub metrics: ConnectionMetrics,
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Serves until `shutdown` resolves. Then closes the listener and idle connections, and gives running requests the time
    /// `shutdown_timeout` to finish.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        shutdown_timeout: Duration,
    ) -> io::Result<()> {
        let limits = ConnectionLimits::new(self.settings, self.proxies, self.metrics.clone());
        let local = LocalAddr(listener.local_addr()?.into());
        let endpoint = Arc::new(self.endpoint);
        let connections = TaskTracker::new();
        let (finish, abort) = (CancellationToken::new(), CancellationToken::new());
        let accept = async {
            loop {
                let (tcp, remote, permit) = limits.accept(&listener).await;
                let stream = Stream::new(
                    tcp,
                    self.settings.write_timeout,
                    self.metrics.stalled.clone(),
                );
                let connection = Connection {
                    endpoint: Arc::clone(&endpoint),
                    local: local.clone(),
                    remote: RemoteAddr(remote.into()),
                    keep_alive: self.settings.keep_alive,
                };
                let serving = connection.serve(stream, permit, finish.clone());
                connections.spawn(abort.clone().run_until_cancelled_owned(serving));
            }
        };
        tokio::select! {
            () = accept => {}
            () = shutdown => {}
        }
        drop(listener);
        finish.cancel();
        connections.close();
        if timeout(shutdown_timeout, connections.wait()).await.is_err() {
            let open = connections.len();
            tracing::warn!(open, "Connections aborted at the end of SHUTDOWN_SECONDS");
            abort.cancel();
            connections.wait().await;
        }
        Ok(())
    }
}
