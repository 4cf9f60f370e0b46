//! Login sessions of the dashboard.
//!
//! The cookie contains a random name. Redis maps the hash of the name to a session id, until the session has been idle for
//! `ADMIN_IDLE_SECONDS`. The session itself is a database row like that of any other login: a password reset, a deactivation or a
//! logout from all sessions ends it, too. It never gets a refresh token.

use chrono::TimeDelta;
use fred::{interfaces::KeysInterface as _, types::Expiration};
use latchkey_shared::models::session;
use poem::{FromRequest, Request, RequestBody, web::cookie::Cookie};
use uuid::Uuid;

use crate::admin::{
    dashboard::{
        cookies::{self, SIGNED_IN},
        redirect::LoginRedirect,
    },
    permissions::{Admin, Credential, Permit, Requirement},
};
use crate::{
    app_state::App,
    auth::{bearer::CurrentUser, jwt::ResetToken},
    http::{audit_context::AuditContext, error::ApiError},
};

/// The minimum time between two writes of a session's last use.
const LAST_USED_INTERVAL: TimeDelta = TimeDelta::minutes(1);

/// Returns the session of the request's cookie if it is alive, and extends its idle timeout.
pub async fn find(app: &App, request: &Request) -> Result<Option<CurrentUser>, ApiError> {
    let Some(name) = cookies::read(app, request, SIGNED_IN) else {
        return Ok(None);
    };
    let key = key(app, &name);
    let found: Option<String> = app.redis.get(&key).await?;
    let Some(id) = found.and_then(|id| id.parse::<Uuid>().ok()) else {
        return Ok(None);
    };
    let now = app.now();
    let alive = session::find_alive(&app.db, id, now, app.config.sessions.idle).await?;
    let Some((session, user)) = alive else {
        let () = app.redis.del(&key).await?;
        return Ok(None);
    };
    let idle = seconds(app.config.sessions.admin_idle);
    let () = app.redis.expire(&key, idle, None).await?;
    if now - session.last_used_at >= LAST_USED_INTERVAL {
        session::touch(&app.db, id, now).await?;
    }
    Ok(Some(CurrentUser { user, session }))
}

/// Starts a dashboard session and returns its cookie. The name is always new, which prevents session fixation.
pub async fn start(app: &App, session: Uuid) -> Result<Cookie, ApiError> {
    let name = ResetToken::generate();
    let key = key(app, name.expose());
    let expire = Some(Expiration::EX(seconds(app.config.sessions.admin_idle)));
    let () = app
        .redis
        .set(key, session.to_string(), expire, None, false)
        .await?;
    Ok(cookies::build(app, SIGNED_IN, name.expose()))
}

/// Ends the dashboard session of the request's cookie.
pub async fn end(app: &App, request: &Request) -> Result<(), ApiError> {
    if let Some(name) = cookies::read(app, request, SIGNED_IN) {
        let key = key(app, &name);
        let () = app.redis.del(key).await?;
    }
    Ok(())
}

fn key(app: &App, name: &str) -> String {
    format!(
        "{}:admin:session:{}",
        app.config.common.redis_namespace,
        app.token_hasher.name(name)
    )
}

fn seconds(span: TimeDelta) -> i64 {
    span.num_seconds().max(1)
}

/// Authorizes a request by its dashboard session.
impl<'a, R: Requirement> FromRequest<'a> for Permit<R> {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let app = App::of(request)?;
        let audit = AuditContext::from_request(request, body).await?;
        let CurrentUser { user, session } = find(app, request)
            .await?
            .ok_or_else(|| LoginRedirect::back_to(app, request))?;
        let admin = Admin::load(&app.db, user, Credential::Session(session), audit).await?;
        Ok(Self::authorize(app, admin).await?)
    }
}
