//! The pages of the dashboard, one module per page.

pub mod account;
pub mod api_tokens;
pub mod audit_log;
pub mod cancel_email;
pub mod forgot_password;
pub mod lockouts;
pub mod mails;
pub mod new_user;
pub mod overview;
pub mod own_email;
pub mod resets;
pub mod roles;
pub mod second_step;
pub mod security;
pub mod setup;
pub mod sign_in;
pub mod user;
mod user_form;
pub mod users;
pub mod verify;
