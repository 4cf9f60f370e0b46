//! HTTP/1.1 on one connection, with limits on the size and the time of a request head.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::{
    Endpoint, Response,
    http::{Request, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio_util::sync::CancellationToken;

use crate::server::connections::{limits::ConnectionPermit, write_timeout::Stream};

/// Maximum size of a request head, in bytes. Larger ones get an empty 431. Also the size of hyper's read buffer for bodies.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Maximum number of header fields: as many as fit into a head, as the shortest (`a:` and a line feed) has three bytes. The lower
/// limit of `request_head` therefore refuses them first, with a problem. Parsing such a head takes some 2 MB (700 KB for hyper's
/// index, the rest for 11,000 fields) per async thread, freed before the response is written.
const MAX_HEADER_FIELDS: usize = MAX_HEAD_BYTES / 3;

/// The shared data of the requests of one connection.
pub(super) struct Connection<E> {
    pub endpoint: Arc<E>,
    pub local: LocalAddr,
    pub remote: RemoteAddr,
    /// The timeout of the next complete head.
    pub keep_alive: Duration,
}

impl<E: Endpoint<Output = Response> + 'static> Connection<E> {
    /// Serves the requests of a connection until it ends. After `finish` is cancelled, the running request is the last.
    pub(super) async fn serve(
        self,
        stream: Stream,
        permit: ConnectionPermit,
        finish: CancellationToken,
    ) {
        let _permit = permit;
        let keep_alive = self.keep_alive;
        let service = service_fn(move |request: Request<Incoming>| {
            let (local, remote) = (self.local.clone(), self.remote.clone());
            let endpoint = Arc::clone(&self.endpoint);
            // Boxed, so that an idle connection does not reserve memory for a request.
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
