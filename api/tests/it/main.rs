//! The API through its front door: HTTP in, mail out, on a real database, a real Redis and a real SMTP conversation.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it did not expect ends there"
)]

mod accounts;
mod admin;
mod auth;
mod cli;
mod config;
mod http;
mod openapi;
mod passwords;
mod rate_limit;
mod server;
mod support;
mod system;
