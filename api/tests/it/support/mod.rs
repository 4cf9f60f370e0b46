//! The application under test and drivers for its clients.

pub(crate) mod api_tokens;
pub(crate) mod authenticator;
pub(crate) mod browser;
pub(crate) mod dashboard;
pub(crate) mod random;
pub(crate) mod server_process;
pub(crate) mod test_app;
pub(crate) mod tokens;
pub(crate) mod traffic;
