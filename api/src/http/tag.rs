//! The tags of the OpenAPI document.

use poem_openapi::Tags;

/// The tags of the OpenAPI document. Swagger UI shows them as sections.
#[derive(Tags)]
pub enum Tag {
    /// Registration and your profile.
    Account,
    /// Login, logout and refresh of the access token.
    Session,
    /// Public keys for services that verify access tokens.
    Verification,
    /// Password reset in three steps.
    Reset,
    /// Authenticator app and recovery codes, besides the password.
    SecondFactor,
    /// Administration by staff with access tokens and by scripts with API tokens, with the permissions of the dashboard.
    Administration,
    /// Health checks for operators.
    Operation,
}
