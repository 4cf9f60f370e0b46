//! The worker: it delivers the mails that the outbox holds, and nothing else.
//!
//! `monitor` hears the queue's wake-ups, `relay` makes up for those that get lost, both lead to `delivery`, and the
//! mail's row decides what is done. `run` starts and stops all of it; `commands` is what an operator types.

pub mod cli;
pub mod config;
pub mod delivery;
pub mod housekeeping;
pub mod metrics;
pub mod queue;
pub mod service;
pub mod transport;
