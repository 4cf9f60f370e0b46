//! Accounts: registration, activation, profile, pictures and activity.

pub mod activation;
pub mod activity;
pub mod new_account;
pub mod pictures;
pub mod profile;
pub mod register;
pub mod user_response;
