//! What every page of the dashboard needs to know of its reader: language, theme, the token of its forms, what was just
//! done. And the way from a template to an answer.

use std::{fmt, sync::Arc};

use askama::Template;
use poem::{
    FromRequest, Request, RequestBody, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
    web::cookie::Cookie,
};

use crate::admin::{
    dashboard::{
        assets, csrf,
        i18n::{ARABIC, ENGLISH, Texts},
        session::{self, VISITOR},
    },
    permissions::Admin,
};
use crate::{app_state::App, auth::jwt::ResetToken, http::error::ApiError};
use latchkey_shared::{models::user, types::permission::Permission};

/// The cookie of the theme: `light`, `dark`, or none for the system's.
pub const THEME: &str = "latchkey_theme";
/// The cookie of the language: `en` or `ar`; without it the browser says.
pub const LANGUAGE: &str = "latchkey_language";
/// The cookie that carries what was just done to the page that comes next.
pub const DONE: &str = "latchkey_done";

/// What the pages may do: load what we serve, and send forms to us. No inline script, no inline style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// One reader of one page.
#[derive(Clone)]
pub struct View {
    /// The words.
    pub t: &'static Texts,
    /// `PRODUCT_NAME`
    pub product: String,
    /// The path of `PUBLIC_URL`: in front of every path in a page. Those in forms and in the code are without it.
    pub base: String,
    /// `PASSWORD_MIN_LENGTH`
    pub min_password: usize,
    /// `light`, `dark`, or nothing.
    pub theme: Option<&'static str>,
    /// For forms.
    pub csrf: String,
    /// What was just done.
    pub done: Option<Flash>,
    /// The part of the page that htmx asks for, by its id.
    pub part: Option<String>,
    /// Path and query, to come back to.
    pub here: String,
    cookies: Vec<Cookie>,
}

/// Something that was done, as the next page says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flash {
    /// One of the words of [`Texts::done`].
    pub what: String,
    /// To how many.
    pub count: usize,
}

impl fmt::Display for Flash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.what, self.count)
    }
}

impl<'a> FromRequest<'a> for View {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let app = request
            .data::<App>()
            .ok_or_else(|| ApiError::Internal("no state".to_owned()))?;
        Ok(Self::of(app, request))
    }
}

impl View {
    /// The reader of what a request asks for.
    #[must_use]
    pub fn of(app: &App, request: &Request) -> Self {
        let mut cookies = Vec::new();
        let cookie = csrf::cookie(app, request).unwrap_or_else(|| {
            let name = ResetToken::generate();
            cookies.push(session::cookie(app, VISITOR, name.expose()));
            name.expose().to_owned()
        });
        let done = session::read(app, request, DONE).and_then(|done| {
            let (what, count) = done.split_once('.')?;
            Some(Flash {
                what: what.to_owned(),
                count: count.parse().ok()?,
            })
        });
        if done.is_some() && request.method() == poem::http::Method::GET {
            cookies.push(session::removal(app, DONE));
        }
        Self {
            t: language(app, request),
            product: app.config.common.product_name.clone(),
            base: app.config.common.base_path().to_owned(),
            min_password: app.passwords.min_length,
            theme: match session::read(app, request, THEME).as_deref() {
                Some("light") => Some("light"),
                Some("dark") => Some("dark"),
                _ => None,
            },
            csrf: app.token_hasher.form_token(&cookie),
            done,
            part: request
                .header("hx-request")
                .and_then(|_| request.header("hx-target"))
                .map(str::to_owned),
            here: request
                .original_uri()
                .path_and_query()
                .map_or("/admin/".to_owned(), ToString::to_string),
            cookies,
        }
    }

    /// The same reader, for whom a page that answers a form stands at another address.
    #[must_use]
    pub fn at(&self, here: &str) -> Self {
        Self {
            here: here.to_owned(),
            ..self.clone()
        }
    }

    /// The address of a file that the pages load; it changes with its content, so that it may be kept for ever.
    #[must_use]
    pub fn asset(&self, name: &str) -> String {
        format!("{}{}", self.base, assets::address(name))
    }

    /// Whether htmx asks for this part alone.
    #[must_use]
    pub fn wants(&self, part: &str) -> bool {
        self.part.as_deref() == Some(part)
    }

    /// What was just done, in words.
    #[must_use]
    pub fn said(&self) -> Option<String> {
        let done = self.done.as_ref()?;
        let words = self.t.done(&done.what)?;
        Some(if done.count == 1 {
            words.to_owned()
        } else {
            format!("{words} ({})", done.count)
        })
    }

    /// A page.
    ///
    /// # Errors
    /// When its template fails.
    pub fn page(&self, status: StatusCode, page: &impl Template) -> poem::Result<Response> {
        let html = page
            .render()
            .map_err(|error| ApiError::Internal(format!("a page: {error}")))?;
        let mut response = Response::builder()
            .status(status)
            .content_type("text/html; charset=utf-8")
            .body(html);
        self.dress(&mut response);
        // The same address gives htmx a part and a browser the whole.
        response.headers_mut().insert(
            header::VARY,
            HeaderValue::from_static("HX-Request, HX-Target, Cookie"),
        );
        Ok(response)
    }

    /// The headers and cookies of an answer to this reader.
    pub fn dress(&self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        );
        // With `no-referrer` a form's Origin would be null.
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        );
        headers.insert(
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        );
        for cookie in &self.cookies {
            add(response, cookie);
        }
    }
}

/// Sends a browser on after a form (303), with what was done for the page that comes.
#[must_use]
pub fn back(app: &App, target: &str, done: &str, count: usize) -> Response {
    let mut response = go(app, target);
    let done = Flash {
        what: done.to_owned(),
        count,
    };
    add(
        &mut response,
        &session::cookie(app, DONE, &done.to_string()),
    );
    response
}

/// Says how many seconds to wait (RFC 6585, 4).
#[must_use]
pub fn with_wait(mut response: Response, seconds: Option<u64>) -> Response {
    if let Some(seconds) = seconds {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Sends a browser on, to a path below that of `PUBLIC_URL`.
#[must_use]
pub fn go(app: &App, target: &str) -> Response {
    Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(
            header::LOCATION,
            format!("{}{target}", app.config.common.base_path()),
        )
        .finish()
}

/// Adds a cookie to an answer.
pub fn add(response: &mut Response, cookie: &Cookie) {
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// A place of the dashboard to go back to, and nowhere else: a form must not send anybody to another site, nor out of the path
/// of `PUBLIC_URL`. The dashboard's paths need no percent-encoding, so a path with any is none of them; browsers resolve dot
/// segments, encoded ones, too (WHATWG URL, 4.1), and proxies may decode more.
#[must_use]
pub fn place(wanted: &str) -> String {
    let (path, _) = wanted.split_at(wanted.find(['?', '#']).unwrap_or(wanted.len()));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let is_visible = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    let ours = (path == "/admin" || path.starts_with("/admin/"))
        && path.bytes().all(is_plain)
        && !path.contains("//")
        && !path.split('/').any(|segment| matches!(segment, "." | ".."))
        && wanted.bytes().all(is_visible);
    if ours {
        wanted.to_owned()
    } else {
        "/admin/".to_owned()
    }
}

fn language(app: &App, request: &Request) -> &'static Texts {
    let chosen = session::read(app, request, LANGUAGE);
    let wished = || {
        let header = request.header(header::ACCEPT_LANGUAGE)?;
        header
            .split(',')
            .map(|tag| tag.trim().get(..2).unwrap_or_default().to_lowercase())
            .find(|tag| tag == "en" || tag == "ar")
    };
    match chosen.or_else(wished).as_deref() {
        Some("ar") => &ARABIC,
        _ => &ENGLISH,
    }
}

/// What the frame of every page says about who is signed in.
#[derive(Clone)]
pub struct CurrentAdmin(Arc<Admin>);

impl CurrentAdmin {
    /// An administrator.
    #[must_use]
    pub fn of(admin: &Admin) -> Self {
        Self(Arc::new(admin.clone()))
    }

    /// What they are called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.user.username.as_str()
    }

    /// Their id.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.0.user.id
    }

    /// Whether they are a superuser.
    #[must_use]
    pub fn is_superuser(&self) -> bool {
        self.0.user.is_superuser
    }

    /// Whether they may change this account at all.
    #[must_use]
    pub fn can_manage(&self, user: &user::Model) -> bool {
        self.0.can_manage(user)
    }

    /// Whether this is one of several accounts that they may act on at once: theirs to change, and not their own.
    #[must_use]
    pub fn may_choose(&self, user: &user::Model) -> bool {
        self.can_manage(user) && user.id != self.id()
    }

    /// Whether they may end a limit that holds somebody, of whom this is the account if it is known.
    #[must_use]
    pub fn can_unlock(&self, owner: &Option<user::Model>) -> bool {
        owner.as_ref().is_none_or(|user| self.can_manage(user))
    }

    /// Whether they see accounts.
    #[must_use]
    pub fn sees_users(&self) -> bool {
        self.0.may(Permission::ViewUsers)
    }

    /// Whether they change accounts.
    #[must_use]
    pub fn changes_users(&self) -> bool {
        self.0.may(Permission::ChangeUsers)
    }

    /// Whether they delete accounts.
    #[must_use]
    pub fn deletes_users(&self) -> bool {
        self.0.may(Permission::DeleteUsers)
    }

    /// Whether they see mails.
    #[must_use]
    pub fn sees_mails(&self) -> bool {
        self.0.may(Permission::Mails)
    }

    /// Whether they read the audit log.
    #[must_use]
    pub fn sees_audit(&self) -> bool {
        self.0.may(Permission::Audit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for (wanted, place_of) in [
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
            assert_eq!(place(wanted), place_of, "{wanted}");
        }
    }
}
