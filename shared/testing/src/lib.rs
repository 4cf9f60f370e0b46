//! What the tests of both programs stand on: databases, Redis, an SMTP server that misbehaves on demand, processes.
//!
//! Everything here is real: a test gets a database of its own, a namespace of its own in a running Redis, and mails over
//! a TCP connection. Every wait ends after [`WAIT_TIMEOUT`], and its failure says what was there instead.

use std::time::Duration;

use latchkey_shared::config::settings::Settings;

mod collector;
mod database;
mod forwarder;
mod process;
mod redis;
mod redis_server;
mod smtp_sink;
mod wait;

pub use collector::{Collector, Span};
pub use database::{SECRET_KEY, TestDatabase};
pub use forwarder::Forwarder;
pub use process::{Process, closed_pipe, full_disk};
pub use redis::TestRedis;
pub use redis_server::{RedisRefusal, RedisServer};
pub use smtp_sink::{Fault, Mail, Security, SmtpSink, Stage};
pub use wait::{wait_for, wait_until};

/// How long a test waits for something that is bound to happen. Long, because slow machines are no faults; no test
/// that passes ever waits for it.
pub const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// A variable of the test run, or of its `.env`.
#[must_use]
pub fn variable(key: &str) -> Option<String> {
    Settings::from_environment().text(key)
}
