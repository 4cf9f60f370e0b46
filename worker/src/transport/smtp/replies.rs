//! The replies of an SMTP server, one line at a time.
//!
//! lettre takes whatever it has read for the reply to its last command. A reply that was sent in advance would count for a later
//! command: that of another mail, or one inside TLS (CVE-2011-0411).
//!
//! lettre also expects what not all servers send: lines that end with CRLF, a space after each reply code, although a reply needs no
//! text (RFC 5321, 4.2), texts in UTF-8, and keywords in capitals in the reply to `EHLO`, although they may have any case (RFC 5321,
//! 4.1.1.1).

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
/// The error of a longer reply.
pub(super) const TOO_MANY_LINES: &str = "the server sent more than 200 lines in one reply";
/// The error of a reply that no command asked for.
pub(super) const UNSOLICITED: &str = "the server sent a reply before the command";
/// The length of the reply code with the character that follows it.
const CODE_LENGTH: usize = 4;
/// A greeting, which lettre expects of each connection (RFC 5321, 4.3.1). After `STARTTLS` the server sends none.
const GREETING: &[u8] = b"220 \r\n";

/// What is known of the replies on a connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplyState(Arc<ReplyFlags>);

#[derive(Debug, Default)]
struct ReplyFlags {
    is_unread: AtomicBool,
    has_begun: AtomicBool,
}

impl ReplyState {
    /// Returns whether the connection has read bytes that it did not pass on.
    pub(super) fn is_unread(&self) -> bool {
        self.0.is_unread.load(Ordering::Relaxed)
    }

    /// The state after the server has begun a reply.
    #[cfg(test)]
    pub(super) fn begun() -> Self {
        let state = Self::default();
        state.0.has_begun.store(true, Ordering::Relaxed);
        state
    }

    /// Returns whether the server has sent anything since the last command.
    pub(super) fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::Relaxed)
    }
}

/// A connection, plain or inside TLS, that passes on one line at a time, and fails if a command is written while a reply is
/// unread.
#[derive(Debug)]
pub(super) struct Replies<S> {
    stream: S,
    /// Bytes that were read after the current line.
    unread: Vec<u8>,
    /// The rest of the current line, which was not passed on yet.
    line: Vec<u8>,
    /// Lines since the last command.
    lines: usize,
    /// Whether the last command was `EHLO`.
    is_ehlo: bool,
    state: ReplyState,
}

impl<S: AsyncRead + Unpin> Replies<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            line: Vec::new(),
            lines: 0,
            is_ehlo: false,
            state: ReplyState::default(),
        }
    }

    /// Creates the stream of a server that has sent its greeting before.
    pub(super) fn after_greeting(stream: S) -> Self {
        Self {
            unread: GREETING.to_vec(),
            ..Self::new(stream)
        }
    }

    pub(super) fn state(&self) -> ReplyState {
        self.state.clone()
    }

    /// Checks that no reply is unread before a command. Further bytes of a command follow no reply and need no check.
    fn begin_command(&mut self, cx: &mut Context<'_>, command: &[u8]) -> io::Result<()> {
        if std::mem::take(&mut self.lines) == 0 {
            return Ok(());
        }
        self.is_ehlo = command.starts_with(b"EHLO ");
        self.state.0.has_begun.store(false, Ordering::Relaxed);
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        let is_drained = self.unread.is_empty() && self.line.is_empty();
        if is_drained && let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut byte)
        {
            read?;
        }
        if is_drained && byte.filled().is_empty() {
            Ok(())
        } else {
            Err(invalid(UNSOLICITED))
        }
    }

    /// Reads the next line, or the rest before the end of the stream.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = loop {
            if let Some(at) = self.unread.iter().position(|byte| *byte == b'\n') {
                break at + 1;
            }
            let mut chunk = [0; 4096];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                break self.unread.len();
            }
            self.state.0.has_begun.store(true, Ordering::Relaxed);
            self.unread.extend_from_slice(chunk.filled());
        };
        let line = self.unread.drain(..end).collect();
        self.line = as_lettre_expects(line, self.is_ehlo && self.lines > 0);
        self.lines += usize::from(self.line.ends_with(b"\n"));
        if self.lines > MAX_LINES {
            return Poll::Ready(Err(invalid(TOO_MANY_LINES)));
        }
        let is_unread = !self.unread.is_empty();
        self.state.0.is_unread.store(is_unread, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// Ends a line with CRLF, adds a space to a reply code without text, replaces characters other than ASCII in a text that is not UTF-8,
/// and capitalizes the keyword of an `EHLO` line with the mechanisms of `AUTH`.
fn as_lettre_expects(mut line: Vec<u8>, has_keyword: bool) -> Vec<u8> {
    if line.ends_with(b"\n") && !line.ends_with(b"\r\n") {
        line.pop();
        line.extend_from_slice(b"\r\n");
    }
    if line.len() == CODE_LENGTH + 1
        && line.ends_with(b"\r\n")
        && line[..CODE_LENGTH - 1].iter().all(u8::is_ascii_digit)
    {
        line.insert(CODE_LENGTH - 1, b' ');
    }
    if str::from_utf8(&line).is_err() {
        for byte in line.iter_mut().filter(|byte| !byte.is_ascii()) {
            *byte = b'?';
        }
    }
    if has_keyword && let Some(text) = line.get_mut(CODE_LENGTH..) {
        let end = text.iter().position(u8::is_ascii_whitespace);
        let end = end.unwrap_or(text.len());
        text[..end].make_ascii_uppercase();
        if text.starts_with(b"AUTH ") {
            text.make_ascii_uppercase();
        }
    }
    line
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
        if self.line.is_empty() {
            ready!(self.poll_line(cx))?;
        }
        let end = self.line.len().min(buffer.remaining());
        buffer.put_slice(&self.line[..end]);
        self.line.drain(..end);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Replies<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begin_command(cx, bytes)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_those_that_lettre_reads() {
        for (line, has_keyword, expected) in [
            (&b"250 ok\r\n"[..], false, &b"250 ok\r\n"[..]),
            (b"250 ok\n", false, b"250 ok\r\n"),
            (b"250\r\n", false, b"250 \r\n"),
            (b"354\n", false, b"354 \r\n"),
            (b"250-\r\n", false, b"250-\r\n"),
            (
                b"550 5.1.1 Empf\xe4nger\r\n",
                false,
                b"550 5.1.1 Empf?nger\r\n",
            ),
            (b"250-StartTls\r\n", true, b"250-STARTTLS\r\n"),
            (
                b"250 auth plain Login\r\n",
                true,
                b"250 AUTH PLAIN LOGIN\r\n",
            ),
            (b"250 size 1000\r\n", true, b"250 SIZE 1000\r\n"),
            (b"25", true, b"25"),
        ] {
            assert_eq!(as_lettre_expects(line.to_vec(), has_keyword), expected);
        }
    }
}
