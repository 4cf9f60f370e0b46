//! Limits and timeouts of client connections.

use std::time::Duration;

use latchkey_shared::config::settings::Settings;

use crate::config::timeout;

/// Limits and timeouts of client connections. Each field names its setting.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// `MAX_CONNECTIONS`: maximum number of open connections. Further ones wait in the kernel's backlog.
    pub max: usize,
    /// `MAX_CONNECTIONS_IP`: maximum number of open connections of one client IP (IPv6: of one /64; four times as many of one
    /// /48). Further ones are closed at once.
    pub max_per_ip: usize,
    /// `KEEP_ALIVE_SECONDS`: timeout of the next complete request head.
    pub keep_alive: Duration,
    /// `REQUEST_SECONDS`: timeout of a request body.
    pub request_timeout: Duration,
    /// `WRITE_SECONDS`: timeout of a write of which the client reads nothing.
    pub write_timeout: Duration,
    /// `DRAIN_SECONDS`: time between SIGTERM and the end of new connections, during which the server is not ready.
    pub drain: Duration,
}

impl ConnectionSettings {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let max = settings.within("MAX_CONNECTIONS", 1_024, 1..=1_000_000);
        let expected = format!("a number from 1 to MAX_CONNECTIONS ({max})");
        let max_per_ip = settings.parse("MAX_CONNECTIONS_IP", max.min(128), &expected);
        if !(1..=max).contains(&max_per_ip) {
            settings.fault("MAX_CONNECTIONS_IP", &expected);
        }
        Self {
            max,
            max_per_ip,
            keep_alive: timeout(settings, "KEEP_ALIVE_SECONDS", 75, 600),
            request_timeout: timeout(settings, "REQUEST_SECONDS", 60, 600),
            write_timeout: timeout(settings, "WRITE_SECONDS", 30, 600),
            drain: Duration::from_secs(settings.within("DRAIN_SECONDS", 0, 0..=60)),
        }
    }
}
