//! The API under `/api/admin/`: the functions of the dashboard for staff and scripts with a bearer token.
//!
//! Files are named after the resource in the path. Each call takes a [`Token`](token::Token), which checks the permission.

use std::str::FromStr;

use latchkey_shared::types::validation_error::Invalid;
use poem_openapi::ApiResponse;

use crate::http::error::ApiError;

pub mod account;
pub mod audit_log;
pub mod bulk;
pub mod lockouts;
pub mod mails;
pub mod resets;
pub mod roles;
pub mod sessions;
pub mod token;
pub mod user;
pub mod users;

/// The types of all calls.
pub type Calls = (
    users::UsersApi,
    user::UserApi,
    bulk::ActionsApi,
    sessions::SessionsApi,
    resets::ResetsApi,
    roles::RolesApi,
    mails::MailsApi,
    lockouts::LockoutsApi,
    audit_log::AuditLogApi,
);

/// All calls, for the OpenAPI service.
pub const CALLS: Calls = (
    users::UsersApi,
    user::UserApi,
    bulk::ActionsApi,
    sessions::SessionsApi,
    resets::ResetsApi,
    roles::RolesApi,
    mails::MailsApi,
    lockouts::LockoutsApi,
    audit_log::AuditLogApi,
);

/// A response without a body.
#[derive(ApiResponse)]
enum NoContent {
    /// Success.
    #[oai(status = 204)]
    Done,
}

/// The maximum length of a query parameter, in bytes.
const MAX_PARAMETER_BYTES: usize = 1024;

/// Parses a query parameter.
fn parse_parameter<T: FromStr>(name: &str, text: Option<String>) -> Result<Option<T>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    Some(text)
        .filter(|text| text.len() <= MAX_PARAMETER_BYTES)
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| invalid_parameter(name, "Not a valid value of this parameter."))
}

fn invalid_parameter(name: &str, detail: &str) -> ApiError {
    ApiError::invalid_field(name, Invalid::new("invalid", detail))
}

fn default_limit() -> u16 {
    50
}
