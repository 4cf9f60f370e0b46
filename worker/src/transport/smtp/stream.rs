//! TCP connections to SMTP servers, with a limit on the bytes that a server may send.
//!
//! lettre reads a line before it checks the length. Without the limit, a line without an end would fill the worker's memory. The
//! limit applies below TLS, so that it also bounds the handshake.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// Maximum number of bytes that a server may send in one conversation: the start of a connection with TLS and login, or one mail.
/// lettre parses a reply again with each of its lines, so a long one costs CPU time. Usual conversations have less than 10,000.
const MAX_RECEIVED: usize = 32 * 1024;

/// Maximum time for a connection to one address of a host that has more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The error of a server that sends more.
pub(super) const TOO_MUCH: &str = "the server sent more than 32 KiB in one conversation";

/// The number of bytes that a server has sent in the current conversation. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct ReceivedBytes(Arc<AtomicUsize>);

impl ReceivedBytes {
    /// Begins another conversation.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A TCP connection that fails when its server sends too much.
#[derive(Debug)]
pub(super) struct LimitedStream {
    tcp: TcpStream,
    received: ReceivedBytes,
}

impl LimitedStream {
    /// Connects to the first address of the host that accepts.
    pub(super) async fn connect(
        host: &str,
        port: u16,
        received: ReceivedBytes,
    ) -> io::Result<Self> {
        let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
        let tcp = connect_to_any(&addresses, CONNECT_TIMEOUT).await?;
        Ok(Self { tcp, received })
    }

    /// Returns two handles of the same connection.
    pub(super) fn into_two_handles(self) -> io::Result<(Self, Self)> {
        let first = self.tcp.into_std()?;
        let second = first.try_clone()?;
        let limited = |tcp| -> io::Result<Self> {
            Ok(Self {
                tcp: TcpStream::from_std(tcp)?,
                received: self.received.clone(),
            })
        };
        Ok((limited(first)?, limited(second)?))
    }
}

/// Connects to the first address that accepts within the timeout. The last one has no timeout here. A host may have an address that
/// does not answer, for example if IPv6 packets are lost.
async fn connect_to_any(addresses: &[SocketAddr], each: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for (index, address) in addresses.iter().enumerate() {
        let connect = TcpStream::connect(address);
        let connected = if index + 1 == addresses.len() {
            connect.await
        } else {
            timeout(each, connect).await.unwrap_or_else(|_| {
                let seconds = each.as_secs();
                let message = format!("no answer within {seconds} s");
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            })
        };
        match connected {
            Ok(tcp) => return Ok(tcp),
            Err(error) => {
                failure = io::Error::new(error.kind(), format!("{address}: {error}"));
            }
        }
    }
    Err(failure)
}

impl AsyncTokioStream for LimitedStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.received.0.load(Ordering::Relaxed) > MAX_RECEIVED {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, TOO_MUCH)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        self.received.0.fetch_add(read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    /// rustls writes several TLS records at once.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// R3: an address that drops packets does not take the time of another one.
    #[tokio::test]
    async fn silent_address_is_skipped() {
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = silent.listen(1).unwrap();
        let silent = silent
            .local_addr()
            .map(|address| (silent, address))
            .unwrap();
        // Linux drops handshakes while the accept queue is full.
        let mut queued = Vec::new();
        while let Ok(connected) =
            timeout(Duration::from_millis(200), TcpStream::connect(silent.1)).await
        {
            queued.push(connected.unwrap());
        }
        let working = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let working = working
            .local_addr()
            .map(|address| (working, address))
            .unwrap();

        let addresses = [silent.1, working.1];
        let connected = connect_to_any(&addresses, Duration::from_millis(200)).await;
        assert_eq!(connected.unwrap().peer_addr().unwrap(), working.1);
    }
}
