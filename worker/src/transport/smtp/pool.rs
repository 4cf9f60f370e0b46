//! The connections to the SMTP server.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::transport::smtp::Connection;

/// How long an idle connection is kept. Servers close them after some minutes (RFC 5321, 4.5.3.2.7).
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The idle connections, and the counts of all connections.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<(Connection, Instant)>>,
    connections: Arc<Connections>,
}

#[derive(Default)]
struct Connections {
    counts: Mutex<Counts>,
    changed: Notify,
}

#[derive(Default)]
struct Counts {
    /// Connections that are being established.
    connecting: usize,
    /// Established connections, in use or idle.
    open: usize,
    /// Mails that wait for a connection.
    waiting: usize,
    /// Connections that were closed while mails waited. Each allows one waiting mail to connect.
    closed: usize,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a connection until it is dropped.
pub(super) struct Permit {
    connections: Arc<Connections>,
    is_open: bool,
}

impl Permit {
    /// Counts the connection as established.
    pub(super) fn establish(mut self) -> Self {
        let mut counts = self.connections.lock();
        counts.connecting -= 1;
        counts.open += 1;
        drop(counts);
        self.is_open = true;
        self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.connections.lock();
        if self.is_open {
            counts.open -= 1;
            counts.closed = (counts.closed + 1).min(counts.waiting);
        } else {
            counts.connecting -= 1;
        }
        drop(counts);
        self.connections.changed.notify_waiters();
    }
}

/// Counts a waiting mail until it is dropped.
struct Waiting<'a>(&'a Connections);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut counts = self.0.lock();
        counts.waiting -= 1;
        counts.closed = counts.closed.min(counts.waiting);
    }
}

/// The connection that a mail uses next.
pub(super) enum Next {
    Idle(Box<Connection>),
    New,
}

impl Pool {
    /// Counts a connection that is about to be established.
    pub(super) fn start_connecting(&self) -> Permit {
        self.connections.lock().connecting += 1;
        Permit {
            connections: Arc::clone(&self.connections),
            is_open: false,
        }
    }

    /// Waits until a connection is idle or was closed, after the server has refused a new one. Returns `None` if there is no other.
    pub(super) async fn wait_for_another(&self) -> Option<Next> {
        self.connections.lock().waiting += 1;
        let waiting = Waiting(&self.connections);
        loop {
            let mut changed = std::pin::pin!(waiting.0.changed.notified());
            changed.as_mut().enable();
            if let Some((connection, _)) = self.pop_idle() {
                return Some(Next::Idle(Box::new(connection)));
            }
            {
                let mut counts = waiting.0.lock();
                if counts.closed > 0 {
                    counts.closed -= 1;
                    return Some(Next::New);
                }
                if counts.open + counts.connecting == 0 {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Takes the most recently used connection and the time of its use, unless it has been idle for too long.
    pub(super) fn pop_idle(&self) -> Option<(Connection, Instant)> {
        let mut idle = self.lock_idle();
        idle.retain(|(_, since)| since.elapsed() < IDLE_TIMEOUT);
        idle.pop()
    }

    /// Keeps a connection for reuse. There are never more idle connections than concurrent conversations.
    pub(super) fn push_idle(&self, connection: Connection, since: Instant) {
        self.lock_idle().push((connection, since));
        self.connections.changed.notify_waiters();
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
