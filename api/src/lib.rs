//! The HTTP side of Latchkey: accounts, tokens, password reset, profile, and the OpenAPI document of it all.
//!
//! Each file is named after the thing in the API and holds its wire types, handlers and docs. Requests come in through
//! `server`, which routes them to a handler; a handler parses, asks the entities in `latchkey_shared`, and answers.

pub mod accounts;
pub mod admin;
pub mod app_state;
pub mod auth;
pub mod cli;
pub mod config;
pub mod http;
pub mod openapi;
pub mod passwords;
pub mod rate_limit;
pub mod server;
