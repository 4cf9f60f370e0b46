//! Being signed in to the dashboard.
//!
//! The cookie is a random name; Redis keeps, under its hash, which session it is of, for as long as it is used. The
//! session itself is a row like that of any login, so whatever ends logins (a reset, a deactivation, "log out
//! everywhere") ends this one, too. No token is ever made of it.

use std::time::Duration;

use fred::{interfaces::KeysInterface as _, types::Expiration};
use latchkey_shared::{dependency::Refusal, models::session};
use poem::{
    Request, Response,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    web::cookie::{Cookie, SameSite},
};
use uuid::Uuid;

use crate::admin::dashboard::context::place;
use crate::{
    app_state::App,
    auth::{bearer::SignedIn, jwt::ResetToken},
    http::error::ApiError,
};

/// How often the last use of a session is written down.
const NOTED_EVERY: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// The cookie of an administrator who is signed in.
pub const SIGNED_IN: &str = "latchkey_admin";
/// The cookie of somebody who is not, which forms are tied to.
pub const VISITOR: &str = "latchkey_visitor";

/// Who the request's cookie belongs to, if they are still signed in; and they are for a while longer.
///
/// # Errors
/// When Redis or the database fails.
pub async fn find(app: &App, request: &Request) -> Result<Option<SignedIn>, ApiError> {
    let Some(name) = read(app, request, SIGNED_IN) else {
        return Ok(None);
    };
    let key = key(app, &name);
    let found: Option<String> = app.redis.get(&key).await.map_err(|error| redis(&error))?;
    let Some(id) = found.and_then(|id| id.parse::<Uuid>().ok()) else {
        return Ok(None);
    };
    let now = app.now();
    let alive = session::find_alive(&app.db, id, now, app.config.session_idle).await?;
    let Some((session, user)) = alive else {
        let () = app.redis.del(&key).await.map_err(|error| redis(&error))?;
        return Ok(None);
    };
    let () = app
        .redis
        .expire(&key, seconds(app.config.admin_idle), None)
        .await
        .map_err(|error| redis(&error))?;
    if now - session.last_used_at >= NOTED_EVERY {
        session::touch(&app.db, id, now).await?;
    }
    Ok(Some(SignedIn { user, session }))
}

/// Signs a session in; the cookie to send. Its name is new, whatever cookie came before.
///
/// # Errors
/// When Redis does not answer.
pub async fn start(app: &App, session: Uuid) -> Result<Cookie, ApiError> {
    let name = ResetToken::generate();
    let expire = Expiration::EX(seconds(app.config.admin_idle));
    let () = app
        .redis
        .set(
            key(app, name.expose()),
            session.to_string(),
            Some(expire),
            None,
            false,
        )
        .await
        .map_err(|error| redis(&error))?;
    Ok(cookie(app, SIGNED_IN, name.expose()))
}

/// Signs the request's cookie out.
///
/// # Errors
/// When Redis does not answer.
pub async fn end(app: &App, request: &Request) -> Result<(), ApiError> {
    if let Some(name) = read(app, request, SIGNED_IN) {
        let () = app
            .redis
            .del(key(app, &name))
            .await
            .map_err(|error| redis(&error))?;
    }
    Ok(())
}

/// A cookie of ours: only for this site, only over HTTPS where there is HTTPS, and not for scripts.
#[must_use]
pub fn cookie(app: &App, name: &str, value: &str) -> Cookie {
    let mut cookie = Cookie::new_with_str(full_name(app, name), value);
    cookie.set_path(path(app));
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Lax);
    cookie.set_secure(is_https(app));
    cookie
}

/// A cookie that takes one of ours away.
#[must_use]
pub fn removal(app: &App, name: &str) -> Cookie {
    let mut cookie = cookie(app, name, "");
    cookie.set_max_age(Duration::ZERO);
    cookie
}

/// The value of one of our cookies.
#[must_use]
pub fn read(app: &App, request: &Request, name: &str) -> Option<String> {
    request
        .cookie()
        .get(&full_name(app, name))
        .map(|cookie| cookie.value_str().to_owned())
        .filter(|value| !value.is_empty() && value.len() <= 100)
}

/// With a prefix, browsers accept it over HTTPS only (RFC 6265bis, 4.1.3), and with `__Host-` from this very host and for all of
/// its paths, which it cannot have below a path of `PUBLIC_URL`.
fn full_name(app: &App, name: &str) -> String {
    if !is_https(app) {
        name.to_owned()
    } else if path(app) == "/" {
        format!("__Host-{name}")
    } else {
        format!("__Secure-{name}")
    }
}

/// Where browsers send our cookies: below the path of `PUBLIC_URL`.
fn path(app: &App) -> &str {
    match app.config.common.base_path() {
        "" => "/",
        base => base,
    }
}

fn is_https(app: &App) -> bool {
    app.config.common.public_url.scheme() == "https"
}

fn key(app: &App, name: &str) -> String {
    format!(
        "{}:admin:session:{}",
        app.config.common.redis_namespace,
        app.token_hasher.name(name)
    )
}

fn seconds(span: chrono::TimeDelta) -> i64 {
    span.num_seconds().max(1)
}

pub(super) fn redis(error: &fred::error::Error) -> ApiError {
    ApiError::Unavailable(Refusal::from(error).to_string())
}

/// An answer that is no failure: whoever is not signed in signs in first, and comes back to the page they wanted.
#[derive(Debug, thiserror::Error)]
#[error("sign in first")]
pub struct LoginRedirect {
    /// The path of `PUBLIC_URL`.
    base: String,
    next: String,
    /// What a form would have done was not done.
    unsaved: bool,
    /// htmx would put the page of a redirection into the part that it asked for.
    htmx: bool,
}

impl LoginRedirect {
    /// To see what a request asks for; of a form the page where it stood. What it would have done is not done after all.
    #[must_use]
    pub fn to_see(app: &App, request: &Request) -> Self {
        let base = app.config.common.base_path();
        let unsaved = request.method() != Method::GET;
        let next = if unsaved {
            let page = request.header(header::REFERER);
            let page = page.and_then(|page| page.parse::<Uri>().ok());
            let page = page.and_then(|page| page.path_and_query().map(ToString::to_string));
            // As the browser knows it.
            page.and_then(|page| page.strip_prefix(base).map(str::to_owned))
        } else {
            request
                .original_uri()
                .path_and_query()
                .map(ToString::to_string)
        };
        Self {
            base: base.to_owned(),
            next: place(&next.unwrap_or_default()),
            unsaved,
            htmx: request.header("hx-request").is_some(),
        }
    }
}

impl poem::error::ResponseError for LoginRedirect {
    fn status(&self) -> StatusCode {
        if self.htmx {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::SEE_OTHER
        }
    }

    fn as_response(&self) -> Response {
        let next: String = form_urlencoded::byte_serialize(self.next.as_bytes()).collect();
        let mut response = Response::builder().status(self.status()).finish();
        let unsaved = if self.unsaved { "&unsaved=yes" } else { "" };
        if let Ok(target) =
            HeaderValue::from_str(&format!("{}/admin/login/?next={next}{unsaved}", self.base))
        {
            let name = if self.htmx {
                HeaderName::from_static("hx-redirect")
            } else {
                header::LOCATION
            };
            response.headers_mut().insert(name, target);
        }
        response
    }
}
