//! What both programs need: the entities with their queries, the one-time codes, the queue, configuration, clock and log.
//!
//! No HTTP, no JWT, no SMTP belongs here: those live in `api` and `worker`. Each file is named after the thing it
//! holds, and a query is a function on its entity that takes `&impl ConnectionTrait`, so that it joins any transaction.

pub mod batch;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod database;
pub mod dependency;
pub mod health;
pub mod models;
pub mod outbox;
pub mod queue;
pub mod redis;
pub mod telemetry;
pub mod types;
