//! A TCP connection with a write timeout, which is reset if the client stops reading its response.
//!
//! The timeout restarts with every byte that the kernel accepts, so that a long download to a reading client continues. The
//! kernel's buffer is small and accepts more only when a third of it is free. A client therefore has to read some 80 KiB of a
//! larger response in each `WRITE_SECONDS`.
//!
//! After the last response the connection reads on for two seconds (lingering close, RFC 9112, 9.6). The kernel resets a
//! connection that is closed with unread data, and the client would lose the response to a body that was refused early.

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

/// Time during which a connection reads and discards data after its last response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Stream {
    tcp: TcpStream,
    timeout: Duration,
    /// The deadline of the pending write.
    write_deadline: Option<Pin<Box<Sleep>>>,
    /// The deadline of the lingering close.
    linger_deadline: Option<Pin<Box<Sleep>>>,
    /// Counts reset connections.
    stalled: IntCounter,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, timeout: Duration, stalled: IntCounter) -> Self {
        Self {
            tcp,
            timeout,
            write_deadline: None,
            linger_deadline: None,
            stalled,
        }
    }

    /// Reads and discards data until the client closes its side.
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

    /// Starts the deadline with a pending write, clears it with a completed one, and fails after it.
    fn with_write_deadline<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_deadline = None;
            return written;
        }
        let timeout = self.timeout;
        let deadline = self
            .write_deadline
            .get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(deadline.as_mut().poll(cx));
        self.stalled.inc();
        // Resets the connection, as after an orderly close the kernel would offer the unread data for minutes.
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
        self.with_write_deadline(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.with_write_deadline(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    // A TCP stream needs no flush: the kernel already has all data.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger_deadline.is_none() {
            ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
        }
        let deadline = self
            .linger_deadline
            .get_or_insert_with(|| Box::pin(sleep(LINGER_TIMEOUT)));
        // Polls the timer first, as a client that keeps sending would otherwise postpone it.
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.poll_discard(cx).map(Ok)
    }
}
