//! Authentication: login, tokens and their public keys, sessions, one-time codes, password change and reset, change of the email, second
//! factors.

pub mod api_token;
pub mod bearer;
pub mod code_request;
pub mod email_change;
pub mod email_confirmation;
pub mod jwt;
pub mod login;
pub mod login_response;
pub mod logout;
mod new_device;
pub mod one_time_code;
mod original_session;
pub mod password_change;
pub mod password_reset;
pub mod refresh;
mod refresh_cookie;
pub mod second_factor;
pub mod session_loader;
pub mod sessions;
pub mod well_known;
