//! Registration, activation, profile, pictures, export and deletion.

pub(crate) mod activation;
mod activation_resend;
pub(crate) mod data_export;
pub(crate) mod deletion;
pub(crate) mod email_change;
pub(crate) mod email_change_confirm;
pub(crate) mod email_spelling;
pub(crate) mod email_verification;
pub(crate) mod language;
pub(crate) mod picture_sizes;
pub(crate) mod pictures;
pub(crate) mod profile;
pub(crate) mod register;
mod unverified_accounts;
