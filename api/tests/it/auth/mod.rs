//! Login, tokens, sessions and passwords of accounts.

pub(crate) mod access_token;
pub(crate) mod login;
mod new_device;
pub(crate) mod original_tokens;
pub(crate) mod password_change;
pub(crate) mod password_reset;
pub(crate) mod password_reset_model;
pub(crate) mod refresh_and_logout;
mod refresh_cookie;
pub(crate) mod refresh_rotation;
pub(crate) mod requests_in_flight;
mod second_factor;
pub(crate) mod session_model;
pub(crate) mod sessions;
mod signing_keys;
