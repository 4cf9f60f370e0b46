//! The cookies of the dashboard: names, attributes, reading and writing.

use std::time::Duration;

use poem::{
    Request, Response,
    http::{HeaderValue, header},
    web::cookie::{Cookie, SameSite},
};

use crate::app_state::App;

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

/// The longest cookie value that [`read`] accepts, in bytes.
const MAX_VALUE_BYTES: usize = 100;

/// Builds a session cookie: `HttpOnly`, `SameSite=Lax`, and `Secure` if `PUBLIC_URL` is HTTPS.
#[must_use]
pub fn build(app: &App, name: &str, value: &str) -> Cookie {
    let mut cookie = Cookie::new_with_str(full_name(app, name), value);
    cookie.set_path(path(app));
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Lax);
    cookie.set_secure(is_https(app));
    cookie
}

/// Builds the cookie that removes the cookie of this name.
#[must_use]
pub fn removal(app: &App, name: &str) -> Cookie {
    let mut cookie = build(app, name, "");
    cookie.set_max_age(Duration::ZERO);
    cookie
}

/// Returns the value of a cookie.
#[must_use]
pub fn read(app: &App, request: &Request, name: &str) -> Option<String> {
    request
        .cookie()
        .get(&full_name(app, name))
        .map(|cookie| cookie.value_str().to_owned())
        .filter(|value| !value.is_empty() && value.len() <= MAX_VALUE_BYTES)
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

/// Adds the cookie prefix (RFC 6265bis, section 4.1.3). Browsers accept `__Secure-` over HTTPS only. `__Host-` also binds the
/// cookie to this host and to the path `/`, so it is not possible if `PUBLIC_URL` has a path.
fn full_name(app: &App, name: &str) -> String {
    if !is_https(app) {
        name.to_owned()
    } else if path(app) == "/" {
        format!("__Host-{name}")
    } else {
        format!("__Secure-{name}")
    }
}

/// Returns the path of the cookies, which is that of `PUBLIC_URL`.
fn path(app: &App) -> &str {
    match app.config.common.base_path() {
        "" => "/",
        base => base,
    }
}

fn is_https(app: &App) -> bool {
    app.config.common.public_url.scheme() == "https"
}
