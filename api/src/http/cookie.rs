//! Cookies of this service: name prefixes and attributes.

use std::time::Duration;

use latchkey_shared::config::SharedConfig;
use poem::{
    Request,
    http::header,
    web::cookie::{Cookie, SameSite},
};

/// Builds a cookie for a path below that of `PUBLIC_URL`: `HttpOnly`, and `Secure` if `PUBLIC_URL` is HTTPS.
#[must_use]
pub fn build(
    common: &SharedConfig,
    name: &str,
    path: &str,
    same_site: SameSite,
    value: &str,
) -> Cookie {
    let mut cookie = Cookie::new_with_str(full_name(common, name, path), value);
    cookie.set_path(full_path(common, path));
    cookie.set_http_only(true);
    cookie.set_same_site(same_site);
    cookie.set_secure(is_https(common));
    cookie
}

/// Turns a cookie into the one that removes it.
#[must_use]
pub fn removal(mut cookie: Cookie) -> Cookie {
    cookie.set_value_str("");
    cookie.set_max_age(Duration::ZERO);
    cookie
}

/// Returns the value of a cookie (RFC 6265, 4.2.1), unless it is empty or longer than `max_bytes`, or there are two of this name. A
/// page of another host of the site can set a second one, which the browser may send first.
#[must_use]
pub fn read(
    request: &Request,
    common: &SharedConfig,
    name: &str,
    path: &str,
    max_bytes: usize,
) -> Option<String> {
    let name = full_name(common, name, path);
    let headers = request.headers().get_all(header::COOKIE).iter();
    let mut values = headers
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
        // Cookies of other programs may contain bytes that are no text.
        .filter_map(|pair| str::from_utf8(pair).ok()?.trim().split_once('='))
        .filter_map(|(key, value)| (key == name).then_some(value));
    let value = values.next().filter(|_| values.next().is_none());
    value
        .map(str::to_owned)
        .filter(|value| !value.is_empty() && value.len() <= max_bytes)
}

/// Adds the prefix to a cookie's name (RFC 6265bis, section 4.1.3). Browsers accept `__Secure-` over HTTPS only. `__Host-` also
/// binds the cookie to this host and to the path `/`.
fn full_name(common: &SharedConfig, name: &str, path: &str) -> String {
    if !is_https(common) {
        name.to_owned()
    } else if full_path(common, path) == "/" {
        format!("__Host-{name}")
    } else {
        format!("__Secure-{name}")
    }
}

fn full_path(common: &SharedConfig, path: &str) -> String {
    match format!("{}{path}", common.base_path()) {
        full if full.is_empty() => "/".to_owned(),
        full => full,
    }
}

fn is_https(common: &SharedConfig) -> bool {
    common.public_url.scheme() == "https"
}
