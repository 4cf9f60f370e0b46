//! Entities with their queries.

pub mod audit;
pub mod mail;
pub mod password_reset;
pub mod session;
pub mod user;
