//! The HTTP/1.1 server below the routes: it accepts connections, bounds their number, their heads and the time that they
//! may stand still, and ends them at a shutdown.
//!
//! A connection has five deadlines. The next head has to be complete within `KEEP_ALIVE_SECONDS`, counted from the moment
//! when the connection opened or the last answer ended. A body has `REQUEST_SECONDS` (see `body`). The client has to take some of
//! the answer within each `WRITE_SECONDS`, and to close its side within two seconds of the last one (see `stream`). After a shutdown the rest has `SHUTDOWN_SECONDS`.
//!
//! HTTP/2 is not spoken: without TLS no client of ours does, and one connection would be many requests at once.

use std::{
    convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::{
    Endpoint, Response,
    http::{Request, uri::Scheme},
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
mod limits;
mod stream;

pub use crate::server::connections::files::raise_file_limit;
use crate::server::connections::limits::{ConnectionLimits, ConnectionPermit};
use crate::server::connections::stream::Stream;

/// Maximum size of a request's head, in bytes, however it arrives; over it the answer is an empty 431. It is also the size of
/// hyper's buffer, which reads bodies piece by piece, too.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Maximum number of a head's fields: as many as fit into it, as the shortest (`a:` and a bare line feed) has three bytes. So
/// the soft limit of `request_head` answers, with a problem. Parsing such a head takes some 2 MB (700 KB of hyper's index, the rest
/// the map of 11,000 fields), which is free again before the answer is written: as many at a time as there are async threads.
const MAX_HEADER_FIELDS: usize = MAX_HEAD_BYTES / 3;

/// What the kernel may buffer of an answer, in bytes; Linux doubles it for its own data. It bounds the kernel's memory, and it
/// makes progress visible: a socket counts as writable again when a third of it has been acknowledged.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// How many connections the kernel keeps that are not accepted yet; `net.core.somaxconn` can make it less.
const BACKLOG: u32 = 1024;

/// The pause after a connection that could not be accepted, as when the process has no file descriptors left.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

/// Opens a listening socket. Its connections inherit the size of its send buffer.
///
/// # Errors
/// When the address is taken or not this machine's.
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

/// Serves connections.
pub struct Server<E> {
    /// Answers the requests.
    pub endpoint: E,
    /// The bounds of connections.
    pub settings: ConnectionSettings,
    /// Proxies, which carry many clients' requests, are exempt from the bound of one client IP.
    pub proxies: Proxies,
    /// Counts connections.
    pub metrics: ConnectionMetrics,
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    /// Serves until `shutdown` resolves. Then it accepts no more, closes idle connections, and lets requests that have
    /// begun finish within `grace`.
    ///
    /// # Errors
    /// When the address of the listener cannot be read.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        grace: Duration,
    ) -> io::Result<()> {
        let limits = ConnectionLimits::new(self.settings, self.proxies, self.metrics.clone());
        let local = LocalAddr(listener.local_addr()?.into());
        let endpoint = Arc::new(self.endpoint);
        let connections = TaskTracker::new();
        let (finish, cut) = (CancellationToken::new(), CancellationToken::new());
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
                connections.spawn(cut.clone().run_until_cancelled_owned(serving));
            }
        };
        tokio::select! {
            () = accept => {}
            () = shutdown => {}
        }
        drop(listener);
        finish.cancel();
        connections.close();
        if timeout(grace, connections.wait()).await.is_err() {
            let open = connections.len();
            tracing::warn!(
                open,
                "Connections were cut off at the end of SHUTDOWN_SECONDS."
            );
            cut.cancel();
            connections.wait().await;
        }
        Ok(())
    }
}

/// What the requests of one connection have in common.
struct Connection<E> {
    endpoint: Arc<E>,
    local: LocalAddr,
    remote: RemoteAddr,
    keep_alive: Duration,
}

impl<E: Endpoint<Output = Response> + 'static> Connection<E> {
    /// Answers the requests of a connection until it ends. When `finish` is cancelled, the request that has begun is the last.
    async fn serve(self, stream: Stream, permit: ConnectionPermit, finish: CancellationToken) {
        let _permit = permit;
        let keep_alive = self.keep_alive;
        let service = service_fn(move |request: Request<Incoming>| {
            let (local, remote) = (self.local.clone(), self.remote.clone());
            let endpoint = Arc::clone(&self.endpoint);
            // Boxed, so that a connection without a request has no memory for one.
            Box::pin(async move {
                let request = (request, local, remote, Scheme::HTTP).into();
                Ok::<_, Infallible>(endpoint.get_response(request).await.into())
            })
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(keep_alive)
                .max_buf_size(MAX_HEAD_BYTES)
                .max_header_size(MAX_HEAD_BYTES)
                .max_headers(MAX_HEADER_FIELDS)
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = finish.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "Connection ended with an error");
        }
    }
}
