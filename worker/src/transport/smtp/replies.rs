//! The replies of an SMTP server, one line at a time.
//!
//! lettre takes whatever it has read for the reply to its last command. A reply that was sent in advance would count for a later
//! command: that of another mail, or one inside TLS (CVE-2011-0411).

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum number of lines of a reply. A reply to `EHLO` has some 20.
const MAX_LINES: usize = 200;
const TOO_MANY_LINES: &str = "the server sent more than 200 lines in one reply";
/// The error of a reply that no command asked for.
pub(super) const UNSOLICITED: &str = "the server sent a reply before the command";
/// A greeting, which lettre expects of each connection (RFC 5321, 4.3.1). After `STARTTLS` the server sends none.
const GREETING: &[u8] = b"220 \r\n";

/// Whether a stream has read bytes that it did not pass on. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

impl Unread {
    pub(super) fn is_some(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection, plain or inside TLS, that passes on one line at a time, and fails if a command is written while a reply is
/// unread.
#[derive(Debug)]
pub(super) struct Replies<S> {
    stream: S,
    /// Bytes that were read but not passed on.
    unread: Vec<u8>,
    is_unread: Unread,
    /// Lines since the last command.
    lines: usize,
}

impl<S: AsyncRead + Unpin> Replies<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            is_unread: Unread::default(),
            lines: 0,
        }
    }

    /// Creates the stream of a server that has sent its greeting before.
    pub(super) fn after_greeting(stream: S) -> Self {
        Self {
            unread: GREETING.to_vec(),
            ..Self::new(stream)
        }
    }

    pub(super) fn unread(&self) -> Unread {
        self.is_unread.clone()
    }

    /// Checks that no reply is unread before a command. Further bytes of a command follow no reply and need no check.
    fn check_before_command(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if std::mem::take(&mut self.lines) == 0 {
            return Ok(());
        }
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        if self.unread.is_empty()
            && let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut byte)
        {
            read?;
        }
        if self.unread.is_empty() && byte.filled().is_empty() {
            Ok(())
        } else {
            Err(invalid(UNSOLICITED))
        }
    }
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl<S: AsyncTokioStream> AsyncTokioStream for Replies<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Replies<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            let mut chunk = [0; 4096];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
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
        self.is_unread
            .0
            .store(!self.unread.is_empty(), Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Replies<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_before_command(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
