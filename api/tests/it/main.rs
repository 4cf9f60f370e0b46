//! The API through its front door: HTTP in, mail out, on a real database, a real Redis and a real SMTP conversation.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it did not expect ends there"
)]

mod access;
mod activation;
mod admin;
mod admin_acts;
mod admin_browser;
mod admin_delivery;
mod admin_home;
mod admin_json;
mod admin_lists;
mod admin_users;
mod audit;
mod avatars;
mod bad_input;
mod base_path;
mod browser;
mod clock;
mod commands;
mod concurrent_writes;
mod configuration;
mod connections;
mod cross_origin;
mod dashboard;
mod database_outage;
mod defaults;
mod document;
mod email_spelling;
mod email_verification;
mod errors;
mod example_env;
mod figures;
mod full_disk;
mod hash_queue;
mod headers;
mod health;
mod limits;
mod login;
mod mail_budget;
mod mail_reserve;
mod main_job;
mod numerals;
mod oracle;
mod original;
mod outage;
mod own_sessions;
mod password_change;
mod password_cost;
mod password_reset;
mod password_rules;
mod pending;
mod pictures;
mod profile;
mod properties;
mod random;
mod redis_growth;
mod register;
mod request_head;
mod reset_model;
mod rotation;
mod secrets;
mod security_table;
mod session_model;
mod sessions;
mod slow;
mod text_size;
mod world;
mod xml;
