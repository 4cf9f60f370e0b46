//! TCP connections to SMTP servers, with a limit on what a server may send.
//!
//! lettre reads a line before it checks the length. Without the limit, a line without an end would fill the worker's memory. The
//! limit applies below TLS, because lettre adds TLS to the stream at `STARTTLS`.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Maximum number of bytes that a server may send in one conversation: the start of a connection with TLS and login, or one mail.
/// lettre parses a reply again with each of its lines, so a long one costs CPU time. Usual conversations have less than 10,000.
const MAX_RECEIVED: usize = 32 * 1024;

/// Maximum number of lines of a reply without TLS. A reply to `EHLO` has some 20.
const MAX_LINES: usize = 200;

/// The error of a server that sends more.
pub(super) const TOO_MUCH: &str = "the server sent more than 32 KiB in one conversation";
const TOO_MANY_LINES: &str = "the server sent more than 200 lines in one reply";
const UNSOLICITED: &str = "the server sent a reply before the command";

/// The first byte of a TLS handshake (RFC 8446, 5.1). No SMTP command begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

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
///
/// Until TLS begins, it passes on one line at a time, and fails if a command is written while a reply is unread. So a reply that was
/// sent in advance is never taken for that to a later command, neither for that of another mail nor for one inside TLS.
#[derive(Debug)]
pub(super) struct LimitedStream {
    tcp: TcpStream,
    received: ReceivedBytes,
    is_plain: bool,
    /// Bytes that were read but not passed on.
    unread: Vec<u8>,
    /// Lines since the last command.
    lines: usize,
}

impl LimitedStream {
    /// Connects to the first address of the host that accepts.
    pub(super) async fn connect(
        host: &str,
        port: u16,
        received: ReceivedBytes,
    ) -> io::Result<Box<Self>> {
        Ok(Box::new(Self {
            tcp: TcpStream::connect((host, port)).await?,
            received,
            is_plain: true,
            unread: Vec::new(),
            lines: 0,
        }))
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.received.0.load(Ordering::Relaxed) > MAX_RECEIVED {
            return Poll::Ready(Err(invalid(TOO_MUCH)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        self.received.0.fetch_add(read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_read_line(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            let mut chunk = [0; 4096];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(self.poll_receive(cx, &mut chunk))?;
            self.unread.extend_from_slice(chunk.filled());
        }
        let end = self.unread.iter().position(|byte| *byte == b'\n');
        let end = end.map_or(self.unread.len(), |at| at + 1);
        let end = end.min(buffer.remaining());
        self.lines += usize::from(self.unread[..end].ends_with(b"\n"));
        if self.lines > MAX_LINES {
            return Poll::Ready(Err(invalid(TOO_MANY_LINES)));
        }
        buffer.put_slice(&self.unread[..end]);
        self.unread.drain(..end);
        Poll::Ready(Ok(()))
    }

    /// Checks that no reply is unread before a command, and notices the beginning of TLS.
    fn begin_write(&mut self, first: Option<&u8>) -> io::Result<()> {
        if !self.is_plain {
            return Ok(());
        }
        let is_command = std::mem::take(&mut self.lines) > 0;
        if is_command
            && (!self.unread.is_empty() || self.tcp.try_read(&mut [0]).is_ok_and(|it| it > 0))
        {
            return Err(invalid(UNSOLICITED));
        }
        self.is_plain = first != Some(&TLS_HANDSHAKE);
        Ok(())
    }
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
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
        if self.is_plain {
            self.poll_read_line(cx, buffer)
        } else {
            self.poll_receive(cx, buffer)
        }
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begin_write(bytes.first())?;
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
        self.begin_write(slices.iter().find_map(|slice| slice.first()))?;
        Pin::new(&mut self.tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
