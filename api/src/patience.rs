//! How long a client may take to say what it wants.
//!
//! From the first byte of a request to the first byte of its answer a connection has so much time, whatever it trickles
//! in meanwhile; then it is closed. (poem closes what is silent, and hyper's own limit for heads needs a timer that poem
//! does not give it.) Over HTTP/2 one connection is many requests, which this could not tell apart, and no client of ours
//! speaks it without TLS: a connection that begins with it is closed at once. A body has a limit of its own before that, with an answer that says so: see `body`.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use poem::{
    http::uri::Scheme,
    listener::Acceptor,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How much longer than a body a connection may take, so that the answer to a slow body gets out.
const GRACE: Duration = Duration::from_secs(5);
/// What HTTP/2 begins with (RFC 9113, 3.4), as far as it differs from any method of HTTP/1.
const HTTP2: &[u8] = b"PRI ";
/// The pause after a connection that could not be accepted, as when the process has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections that have so much patience.
pub struct Patient<A> {
    acceptor: A,
    patience: Duration,
}

impl<A> Patient<A> {
    /// Gives a request so much time for its body, and a little more for all of it.
    #[must_use]
    pub fn new(acceptor: A, body: Duration) -> Self {
        Self {
            acceptor,
            patience: body + GRACE,
        }
    }
}

impl<A: Acceptor> Acceptor for Patient<A> {
    type Io = Connection<A::Io>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.acceptor.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        loop {
            match self.acceptor.accept().await {
                Ok((io, local, remote, scheme)) => {
                    let connection = Connection {
                        io,
                        patience: self.patience,
                        deadline: None,
                        preface: Some(0),
                    };
                    return Ok((connection, local, remote, scheme));
                }
                Err(error) => {
                    tracing::warn!(%error, "A connection was not accepted.");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// A connection that is closed when a request takes too long.
pub struct Connection<T> {
    io: T,
    patience: Duration,
    /// When the request that is being read has to be answered.
    deadline: Option<Pin<Box<Sleep>>>,
    /// How much of [`HTTP2`] it has begun with; `None` when with something else.
    preface: Option<usize>,
}

impl<T> Connection<T> {
    /// Whether these bytes, which came next, make a beginning of HTTP/2.
    fn begins_http2(&mut self, bytes: &[u8]) -> bool {
        let Some(seen) = self.preface else {
            return false;
        };
        let expected = &HTTP2[seen..];
        let length = expected.len().min(bytes.len());
        self.preface = (bytes[..length] == expected[..length]).then_some(seen + length);
        self.preface == Some(HTTP2.len())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        if self.begins_http2(&buffer.filled()[before..]) {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        if self.deadline.is_none() && buffer.filled().len() > before {
            self.deadline = Some(Box::pin(sleep(self.patience)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.deadline = None;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
