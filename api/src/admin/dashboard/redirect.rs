//! Redirects of the dashboard, with flash messages, and to the login page.

use std::fmt;

use poem::{
    Request, Response,
    error::ResponseError,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
};

use crate::admin::dashboard::cookies::{self, FLASH};
use crate::{app_state::App, http::error::ApiError};

/// A message about a finished action, which the next page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flash {
    /// A key of [`Texts::flash`](crate::admin::dashboard::i18n::Texts::flash).
    pub key: String,
    /// The number of affected rows.
    pub count: usize,
}

impl Flash {
    /// Reads the flash message from its cookie.
    #[must_use]
    pub fn read(app: &App, request: &Request) -> Option<Self> {
        let value = cookies::read(app, request, FLASH)?;
        let (key, count) = value.split_once('.')?;
        Some(Self {
            key: key.to_owned(),
            count: count.parse().ok()?,
        })
    }
}

impl fmt::Display for Flash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key, self.count)
    }
}

/// Redirects (303) to a path below that of `PUBLIC_URL`.
#[must_use]
pub fn redirect(app: &App, target: &str) -> Response {
    let location = format!("{}{target}", app.config.common.base_path());
    Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::LOCATION, location)
        .finish()
}

/// Redirects (303) to a page that shows a flash message.
#[must_use]
pub fn redirect_with_flash(app: &App, target: &str, key: &str, count: usize) -> Response {
    let mut response = redirect(app, target);
    let flash = Flash {
        key: key.to_owned(),
        count,
    };
    cookies::set(
        &mut response,
        &cookies::build(app, FLASH, &flash.to_string()),
    );
    response
}

/// Sets `Retry-After`, in seconds (RFC 9110, section 10.2.3).
#[must_use]
pub fn with_retry_after(mut response: Response, seconds: Option<u64>) -> Response {
    if let Some(seconds) = seconds {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Returns the target if it is a page of the dashboard, otherwise `/admin/`. Prevents open redirects, also out of the path of
/// `PUBLIC_URL`. Paths of the dashboard need no percent-encoding, so any is rejected: browsers also resolve encoded dot segments
/// (WHATWG URL, section 4.1), and proxies may decode more.
#[must_use]
pub fn safe_redirect(target: &str) -> String {
    let (path, _) = target.split_at(target.find(['?', '#']).unwrap_or(target.len()));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let is_visible = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    let is_safe = (path == "/admin" || path.starts_with("/admin/"))
        && path.bytes().all(is_plain)
        && !path.contains("//")
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
        && target.bytes().all(is_visible);
    if is_safe { target } else { "/admin/" }.to_owned()
}

/// The page that asks for a second factor again.
pub const VERIFY_PAGE: &str = "/admin/account/verify/";
/// The page on which administrators manage their second factors.
pub const SECURITY_PAGE: &str = "/admin/account/security/";

/// The response to an unauthenticated request: a redirect to the login page, which returns to the requested page.
#[derive(Debug, thiserror::Error)]
#[error("login required")]
pub struct LoginRedirect {
    /// The path of `PUBLIC_URL`.
    base: String,
    /// The page that asks for what is missing.
    page: &'static str,
    next: String,
    /// The request was a form, whose change is lost.
    unsaved: bool,
    /// htmx needs `HX-Redirect`: it would insert the target of an ordinary redirect into the page.
    is_htmx: bool,
}

impl LoginRedirect {
    /// Redirects back to the requested page, or to the page that contains the submitted form.
    #[must_use]
    pub fn back_to(app: &App, request: &Request) -> Self {
        let base = app.config.common.base_path();
        let unsaved = request.method() != Method::GET;
        let next = if unsaved {
            form_page(request, base)
        } else {
            let uri = request.original_uri().path_and_query();
            uri.map(ToString::to_string)
        };
        Self {
            base: base.to_owned(),
            page: "/admin/login/",
            next: safe_redirect(&next.unwrap_or_default()),
            unsaved,
            is_htmx: request.header("hx-request").is_some(),
        }
    }
}

impl LoginRedirect {
    /// Redirects to the page that asks for the second factor that an error names. `None` for other errors.
    #[must_use]
    pub fn for_second_factor(mut self, error: &ApiError) -> Option<Self> {
        self.page = match error {
            ApiError::RecentSecondFactorRequired => VERIFY_PAGE,
            ApiError::SecondFactorEnrolmentRequired => SECURITY_PAGE,
            _ => return None,
        };
        Some(self)
    }
}

/// Returns the path and query of the page that contains the form, from `Referer`, which has the path of `PUBLIC_URL`.
fn form_page(request: &Request, base: &str) -> Option<String> {
    let referer: Uri = request.header(header::REFERER)?.parse().ok()?;
    let page = referer.path_and_query()?.to_string();
    page.strip_prefix(base).map(str::to_owned)
}

impl ResponseError for LoginRedirect {
    fn status(&self) -> StatusCode {
        if self.is_htmx {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::SEE_OTHER
        }
    }

    fn as_response(&self) -> Response {
        let next: String = form_urlencoded::byte_serialize(self.next.as_bytes()).collect();
        let unsaved = if self.unsaved { "&unsaved=yes" } else { "" };
        let target = format!("{}{}?next={next}{unsaved}", self.base, self.page);
        let mut response = Response::builder().status(self.status()).finish();
        if let Ok(target) = HeaderValue::from_str(&target) {
            let name = if self.is_htmx {
                HeaderName::from_static("hx-redirect")
            } else {
                header::LOCATION
            };
            response.headers_mut().insert(name, target);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_to_another_site_becomes_the_overview() {
        for (path, expected) in [
            ("/admin/users/?q=a", "/admin/users/?q=a"),
            ("//evil.example", "/admin/"),
            ("/admin//evil.example", "/admin/"),
            ("https://evil.example/admin/", "/admin/"),
            ("/admin/\\evil.example", "/admin/"),
            ("/admin/\r\nSet-Cookie: a=b", "/admin/"),
            ("/docs", "/admin/"),
            ("/admin?a", "/admin?a"),
            (
                "/admin/users/?q=a%2F..%2f//b/../c#d",
                "/admin/users/?q=a%2F..%2f//b/../c#d",
            ),
            ("/admin/../../evil", "/admin/"),
            ("/admin/users/..", "/admin/"),
            ("/admin/users/./", "/admin/"),
            ("/admin/%2e%2e/evil", "/admin/"),
            ("/admin/.%2E/evil", "/admin/"),
            ("/admin/%2E/", "/admin/"),
            ("/admin/..%2fevil", "/admin/"),
            ("/admin/%5c..%5cevil", "/admin/"),
            ("/admin/%252e%252e/evil", "/admin/"),
            ("/admin/..;/evil", "/admin/"),
            ("/admin/..?a", "/admin/"),
            ("/administrator", "/admin/"),
        ] {
            assert_eq!(safe_redirect(path), expected, "{path}");
        }
    }
}
