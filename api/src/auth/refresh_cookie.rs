//! The refresh token as a cookie for browser clients, with `REFRESH_COOKIE=on`.
//!
//! Pages whose origin is that of `PUBLIC_URL` or in `CORS_ORIGINS` get the cookie, and no `refresh` in the JSON, which their scripts
//! could read. A browser names the origin of a page in every POST request (Fetch Standard, 3.2), so a request without `Origin`
//! comes from another kind of client, which gets JSON.

use chrono::{DateTime, Utc};
use poem::{
    Request,
    http::header,
    web::cookie::{Cookie, SameSite},
};
use poem_openapi::payload::Response;

use crate::{
    app_state::App,
    auth::jwt::{self, RefreshToken},
    http::{body::fields::Fields, cookie, error::ApiError},
};

/// The name of the cookie, without its prefix.
const NAME: &str = "latchkey_refresh";

/// The path that the browser sends the cookie to, below that of `PUBLIC_URL`.
const PATH: &str = "/auth/";

/// Reads the refresh token from the field `refresh`, or from the cookie if there is no such field. Returns also whether it came from
/// the cookie.
///
/// The browser adds the cookie to requests of pages of the same site that this service does not trust, so the cookie counts only
/// with a trusted `Origin` (ASVS 3.5.1).
pub(super) fn read_token(
    app: &App,
    request: &Request,
    mut fields: Fields,
) -> Result<(RefreshToken, bool), ApiError> {
    let is_enabled = app.config.sessions.refresh_cookie;
    if is_enabled && !fields.contains("refresh") {
        let found = read(app, request);
        if has_trusted_origin(app, request) {
            let token = found.and_then(|text| text.parse::<RefreshToken>().ok());
            let token = token.ok_or(ApiError::InvalidRefreshToken)?;
            return Ok((token, true));
        }
        if found.is_some() {
            return Err(ApiError::OriginNotAllowed);
        }
    }
    let token = fields.required::<RefreshToken>("refresh");
    fields.finish()?;
    Ok((token?, false))
}

/// Returns whether the response to a request carries the refresh token as a cookie.
#[must_use]
pub(super) fn is_used(app: &App, request: &Request) -> bool {
    app.config.sessions.refresh_cookie && has_trusted_origin(app, request)
}

/// Adds the cookie of a refresh token to a response. It expires with the session.
pub(super) fn with_cookie<T>(
    app: &App,
    response: T,
    token: &RefreshToken,
    session_end: DateTime<Utc>,
) -> Response<T> {
    let mut cookie = build(app, token.expose());
    let lifetime = (session_end - app.now()).to_std().unwrap_or_default();
    cookie.set_max_age(lifetime);
    Response::new(response).header(header::SET_COOKIE, cookie.to_string())
}

/// Adds the removal of the cookie to a response.
pub(super) fn without_cookie<T>(app: &App, response: T) -> Response<T> {
    let removal = cookie::removal(build(app, ""));
    Response::new(response).header(header::SET_COOKIE, removal.to_string())
}

fn build(app: &App, value: &str) -> Cookie {
    cookie::build(&app.config.common, NAME, PATH, SameSite::Strict, value)
}

fn read(app: &App, request: &Request) -> Option<String> {
    cookie::read(request, &app.config.common, NAME, PATH, jwt::MAX_BYTES)
}

fn has_trusted_origin(app: &App, request: &Request) -> bool {
    let Some(origin) = request.header(header::ORIGIN) else {
        return false;
    };
    let own = app.config.common.public_url.origin().ascii_serialization();
    origin == own || app.config.cors_origins.iter().any(|it| it == origin)
}
