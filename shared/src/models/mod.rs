//! Entities with their queries.

pub mod audit;
pub mod data_key;
pub mod mail;
pub mod password_reset;
pub mod session;
pub mod signing_key;
pub mod user;
