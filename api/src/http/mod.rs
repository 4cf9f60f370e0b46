//! The HTTP mechanisms that handlers share: request context, client IP, bodies, errors.

pub mod accept_language;
pub mod audit_context;
pub mod body;
pub mod caching;
pub mod client_ip;
pub mod cookie;
pub mod cpu_pool;
pub mod error;
pub mod metrics;
pub mod request_context;
pub mod request_head;
pub mod tag;
pub mod user_agent;
