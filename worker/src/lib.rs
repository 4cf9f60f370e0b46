//! The mail worker: delivers the mails in the outbox.
//!
//! [`queue::consumer`] receives wake-ups from the queue, and [`queue::relay`] finds due mails whose wake-ups were lost. Both
//! start a [`delivery`], which reads the mail's row. [`service`] starts and stops these tasks, and [`cli`] has the commands.

pub mod cli;
pub mod config;
pub mod database_health;
pub mod delivery;
pub mod housekeeping;
pub mod metrics;
pub mod queue;
pub mod redis_health;
pub mod service;
pub mod transport;
