//! The cookies of the dashboard: names, attributes, reading and writing.

use poem::{
    Request, Response,
    http::{HeaderValue, header},
    web::cookie::{Cookie, SameSite},
};

use crate::{app_state::App, http::cookie};

/// The name of the cookie of a signed-in administrator.
pub const SIGNED_IN: &str = "latchkey_admin";
/// The name of the cookie of an anonymous visitor, which binds the CSRF token.
pub const VISITOR: &str = "latchkey_visitor";
/// The name of the theme cookie: `light` or `dark`; absent for the system's theme.
pub const THEME: &str = "latchkey_theme";
/// The name of the language cookie: `en` or `ar`; absent for the browser's language.
pub const LANGUAGE: &str = "latchkey_language";
/// The name of the cookie that carries a flash message to the next page.
pub const FLASH: &str = "latchkey_flash";
/// The name of the cookie with the token of a password reset, which the visitor's browser requested.
pub const RESET: &str = "latchkey_reset";
/// The name of the cookie with the token of a change of the administrator's own email.
pub const EMAIL_CHANGE: &str = "latchkey_email";
/// The name of the cookie with the challenge of a sign-in that needs a second factor.
pub const CHALLENGE: &str = "latchkey_challenge";

/// The path of the cookies below that of `PUBLIC_URL`: all of it.
const PATH: &str = "";

/// The longest cookie value that [`read`] accepts, in bytes.
const MAX_VALUE_BYTES: usize = 100;

/// Builds a session cookie: `HttpOnly`, `SameSite=Lax`, and `Secure` if `PUBLIC_URL` is HTTPS.
#[must_use]
pub fn build(app: &App, name: &str, value: &str) -> Cookie {
    cookie::build(&app.config.common, name, PATH, SameSite::Lax, value)
}

/// Builds the cookie that removes the cookie of this name.
#[must_use]
pub fn removal(app: &App, name: &str) -> Cookie {
    cookie::removal(build(app, name, ""))
}

/// Returns the value of a cookie.
#[must_use]
pub fn read(app: &App, request: &Request, name: &str) -> Option<String> {
    cookie::read(request, &app.config.common, name, PATH, MAX_VALUE_BYTES)
}

/// Returns the cookie that the CSRF token is bound to.
#[must_use]
pub fn csrf_binding(app: &App, request: &Request) -> Option<String> {
    read(app, request, SIGNED_IN).or_else(|| read(app, request, VISITOR))
}

/// Adds a cookie to a response.
pub fn set(response: &mut Response, cookie: &Cookie) {
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
