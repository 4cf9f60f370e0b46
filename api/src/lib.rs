//! The HTTP side of Latchkey: accounts, tokens, password reset, profile, and the OpenAPI document of it all.
//!
//! Each file is named after the thing in the API and holds its wire types, handlers and docs. Requests come in through
//! `server`, which routes them to a handler; a handler parses, asks the entities in `latchkey_shared`, and answers.

pub mod activation;
pub mod activity;
pub mod admin;
pub mod app;
pub mod audit;
pub mod body;
pub mod cli;
pub mod commands;
pub mod config;
pub mod connections;
pub mod cross_origin;
pub mod data_url;
pub mod error;
pub mod failure;
pub mod fields;
pub mod hashing;
pub mod health;
mod json;
pub mod limits;
pub mod login;
pub mod logout;
pub mod mailed_code;
pub mod media;
pub mod media_folder;
pub mod metrics;
pub mod openapi;
pub mod password;
pub mod password_change;
pub mod password_reset;
pub mod peer;
pub mod picture;
pub mod problem;
pub mod profile;
pub mod profile_changes;
pub mod refresh;
pub mod register;
pub mod registrations;
pub mod request;
pub mod request_head;
pub mod reset_requests;
pub mod room;
pub mod server;
pub mod session_lookup;
pub mod sessions;
pub mod signed_in;
pub mod together;
pub mod token;
pub mod user_body;
