//! Limits and timeouts of client connections.

use std::time::Duration;

/// The bounds of connections. Each field names its variable.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// `MAX_CONNECTIONS`: open at a time; further ones wait in the kernel's backlog.
    pub max: usize,
    /// `MAX_CONNECTIONS_IP`: open at a time from one client IP (IPv6: one /64; four times as many from one /48); further ones
    /// are closed at once.
    pub max_per_ip: usize,
    /// `KEEP_ALIVE_SECONDS`: how long a connection may go without a complete head.
    pub keep_alive: Duration,
    /// `WRITE_SECONDS`: how long a client may take none of an answer.
    pub write: Duration,
}
