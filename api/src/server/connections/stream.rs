//! A TCP connection that is reset when its client takes none of an answer for too long.
//!
//! The deadline is one of progress and not of the whole answer: it begins anew with every byte that the kernel takes, so that
//! a long download to a client that reads goes on. As the kernel's buffer is small, and takes more only when a third of it is
//! free, a client has to take some 80 KiB in each `WRITE_SECONDS` of an answer larger than that buffer.
//!
//! It lingers at its end: the kernel resets a connection that is closed with unread data, and the client loses the answer to
//! a body that was refused before its end (RFC 9112, 9.6).

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use prometheus::IntCounter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// How long a connection reads on, and forgets what it reads, after its last answer was written.
const LINGER: Duration = Duration::from_secs(2);

pub(super) struct Stream {
    tcp: TcpStream,
    timeout: Duration,
    /// When some of what is to be written has to be taken; `None` while nothing waits.
    deadline: Option<Pin<Box<Sleep>>>,
    /// When a connection that has begun to shut down is closed.
    end: Option<Pin<Box<Sleep>>>,
    /// Counts the connections that were reset.
    stalled: IntCounter,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, timeout: Duration, stalled: IntCounter) -> Self {
        Self {
            tcp,
            timeout,
            deadline: None,
            end: None,
            stalled,
        }
    }

    /// Reads until the client has closed its side, too, and forgets it.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [MaybeUninit::uninit(); 4 * 1024];
        loop {
            let mut buffer = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Begins a deadline with the first write that is pending, ends it with the next that is not, and fails when it has passed.
    fn with_deadline<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let timeout = self.timeout;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(deadline.as_mut().poll(cx));
        self.stalled.inc();
        // A reset instead of an orderly close: the kernel drops what the client has not taken instead of offering it for minutes.
        self.tcp.set_zero_linger()?;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.with_deadline(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.with_deadline(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    // A TCP stream flushes at once: what is left to send is the kernel's.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end.is_none() {
            ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
        }
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        // First, so that a client that goes on sending does not keep the timer from being looked at.
        if end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.poll_discard(cx).map(Ok)
    }
}
