//! Tests of the API over HTTP, with a real database, Redis and SMTP connection.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

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
