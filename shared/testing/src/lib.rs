//! Test helpers of the API and the worker: databases, Redis, an SMTP server and a trace collector with faults, and processes.
//!
//! Each test gets its own database, Redis namespace and SMTP server. The helpers panic when something fails. Every wait ends after
//! [`WAIT_TIMEOUT`], and the panic message shows the last state.

#![expect(
    clippy::missing_panics_doc,
    reason = "test helpers panic on every failure"
)]

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

/// The timeout of every wait. It is long, as a slow machine must not fail a test.
pub const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// Returns a variable of the environment or of the file `.env`.
#[must_use]
pub fn variable(key: &str) -> Option<String> {
    Settings::from_environment().text(key)
}
