//! Accounts: registration, activation, profile, pictures, activity, export and deletion.

pub mod activation;
pub mod activity;
pub mod data_export;
pub mod delete_account;
pub mod deletion;
pub mod new_account;
pub mod pictures;
pub mod profile;
pub mod register;
pub mod unverified_accounts;
pub mod user_response;
