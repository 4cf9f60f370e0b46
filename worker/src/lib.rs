//! The worker: it delivers the mails that the outbox holds, and nothing else.
//!
//! `monitor` hears the queue's wake-ups, `relay` makes up for those that get lost, both lead to `delivery`, and the
//! mail's row decides what is done. `run` starts and stops all of it; `commands` is what an operator types.

pub mod back_off;
mod codes;
pub mod commands;
pub mod config;
pub mod delivery;
pub mod doctor;
pub mod ehlo_name;
pub mod housekeeping;
mod ledger;
pub mod mail_budget;
pub mod message;
pub mod metrics;
pub mod monitor;
pub mod pace;
mod places;
mod redaction;
pub mod relay;
pub mod run;
pub mod smtp;
pub mod smtp_url;
pub mod transport;
