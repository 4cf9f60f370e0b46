//! The cookie with the token of a code request, so that the token appears in no URL.

use latchkey_shared::models::password_reset::{Model as Request, Purpose};
use poem::web::cookie::Cookie;

use crate::{
    admin::dashboard::cookies,
    app_state::App,
    auth::{jwt::ResetToken, one_time_code},
    http::{
        audit_context::AuditContext,
        body::fields::{Fields, Value},
        error::ApiError,
    },
    rate_limit::Limit,
};

/// Builds the cookie of this name. It expires with the request.
#[must_use]
pub fn build(app: &App, name: &str, token: &ResetToken) -> Cookie {
    let mut cookie = cookies::build(app, name, token.expose());
    let lifetime = app.config.accounts.reset_lifetime;
    cookie.set_max_age(lifetime.to_std().unwrap_or_default());
    cookie
}

/// Returns the token of the cookie and its code request.
pub async fn find(
    app: &App,
    request: &poem::Request,
    name: &str,
    purpose: Purpose,
) -> Result<Option<(ResetToken, Request)>, ApiError> {
    let token = cookies::read(app, request, name);
    let Some(token) = token.and_then(|token| token.parse::<ResetToken>().ok()) else {
        return Ok(None);
    };
    let found = one_time_code::find(app, &token, purpose).await?;
    Ok(found.map(|found| (token, found)))
}

/// Counts a request, and checks the code as [`one_time_code::check_fields`] does.
pub async fn check(
    app: &App,
    token: &ResetToken,
    code: String,
    purpose: Purpose,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    app.count_request(audit, Limit::Code).await?;
    let fields = [("token", token.expose().to_owned()), ("otp", code)];
    let fields = fields.map(|(name, value)| (name.to_owned(), Value::Text(value)));
    one_time_code::check_fields(app, Fields::new(fields), purpose, audit).await
}
