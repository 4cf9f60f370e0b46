//! TLS on a stream that lettre did not open: from the first byte (RFC 8314, section 3.3) or after `STARTTLS` (RFC 3207).
#![expect(
    deprecated,
    reason = "lettre marks its stream as not meant to be public, and has no other way to start TLS on an open connection"
)]

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::io::{AsyncRead as _, AsyncWrite as _};
use lettre::transport::smtp::{
    self,
    client::{AsyncNetworkStream, AsyncTokioStream, TlsParameters},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::smtp::stream::LimitedStream;

/// lettre's TLS stream with tokio's traits, so that a connection can be created with it.
#[derive(Debug)]
pub(super) struct TlsStream(AsyncNetworkStream);

/// Starts TLS.
pub(super) async fn start(
    stream: LimitedStream,
    parameters: TlsParameters,
) -> Result<TlsStream, smtp::Error> {
    let mut stream = AsyncNetworkStream::use_existing_tokio1(Box::new(stream));
    stream.upgrade_tls(parameters).await?;
    Ok(TlsStream(stream))
}

impl AsyncTokioStream for TlsStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unfilled = buffer.initialize_unfilled();
        let read = ready!(Pin::new(&mut self.0).poll_read(cx, unfilled))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
