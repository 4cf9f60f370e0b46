//! What both programs need: the entities with their queries, the one-time codes, the queue, configuration, clock and log.
//!
//! No HTTP, no JWT, no SMTP belongs here: those live in `api` and `worker`. Each file is named after the thing it
//! holds, and a query is a function on its entity that takes `&impl ConnectionTrait`, so that it joins any transaction.

pub mod audit;
pub mod batch;
pub mod client_network;
pub mod clock;
pub mod config;
pub mod database;
mod decimal;
pub mod delivery_health;
pub mod dependency;
pub mod email;
pub mod gender;
pub mod health;
pub mod invalid;
pub mod letter;
mod lookalike;
pub mod mail;
pub mod metrics;
pub mod one_time_code;
pub mod outbox;
pub mod password_reset;
pub mod permission;
pub mod phone_number;
pub mod queue;
pub mod rate;
pub mod redis;
pub mod secret_key;
pub mod session;
pub mod settings;
pub mod since;
pub mod telemetry;
pub mod token_hash;
pub mod trace;
pub mod user;
pub mod username;
