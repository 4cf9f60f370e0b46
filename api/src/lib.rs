//! The API server of Latchkey: accounts, authentication, administration and the OpenAPI document.
//!
//! `server` routes each request to a handler in `auth`, `accounts` or `admin`. A file contains the request and response types,
//! the handlers and the API docs of one resource. The entities and their queries are in `latchkey_shared`.

pub mod accounts;
pub mod admin;
pub mod app_state;
pub mod auth;
pub mod cli;
pub mod config;
pub mod export;
pub mod http;
pub mod import;
pub mod openapi;
pub mod passwords;
pub mod rate_limit;
pub mod server;
