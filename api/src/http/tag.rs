//! The groups of calls in the OpenAPI document.

use poem_openapi::Tags;

/// The groups of calls in the OpenAPI document, which Swagger UI shows as sections.
#[derive(Tags)]
pub enum Tag {
    /// Making an account, and the own profile.
    Account,
    /// Logging in and out, and renewing the access token.
    Session,
    /// A forgotten password, in three steps.
    Reset,
    /// For staff and scripts, with the permissions of the dashboard.
    Administration,
    /// For those who run the service.
    Operation,
}
