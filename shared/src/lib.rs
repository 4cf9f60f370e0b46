//! Code that the API server and the mail worker share: entities with their queries, the outbox, the queue, one-time codes,
//! configuration, telemetry.
//!
//! HTTP and JWT belong to `api`, SMTP belongs to `worker`. A query is a function of its entity's module. It takes
//! `&impl ConnectionTrait`, so that it can run inside any transaction.

pub mod batch;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod database;
pub mod dependency;
pub mod file_size_limit;
pub mod health;
pub mod models;
pub mod outbox;
pub mod output;
pub mod queue;
pub mod redis;
pub mod telemetry;
pub mod types;
