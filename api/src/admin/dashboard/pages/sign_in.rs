//! `/admin/login/`, `/admin/logout/` and `/admin/preferences/`: sign-in, sign-out, theme and language.

use std::time::Duration;

use askama::Template;
use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        session, user,
    },
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Query, cookie::Cookie},
};
use serde::Deserialize;

use crate::admin::dashboard::{
    context::View,
    cookies::{self, LANGUAGE, SIGNED_IN, THEME},
    csrf::Form,
    form_state::FormState,
    pages::second_step,
    redirect::{LoginRedirect, redirect, redirect_with_flash, safe_redirect},
    session as dashboard_session,
};
use crate::{
    app_state::App,
    auth::{
        bearer::CurrentUser,
        login::{self, LoginMethod},
        second_factor::{login_step, proof::ProvedFactor},
    },
    http::{
        audit_context::{AuditContext, with_session},
        error::ApiError,
        user_agent::user_agent,
    },
};

/// The lifetime of the theme and language cookies.
const PREFERENCE_LIFETIME: Duration = Duration::from_hours(24 * 365);

#[derive(Template)]
#[template(path = "admin/login.html")]
struct Page {
    v: View,
    title: &'static str,
    email: String,
    next: String,
    error: Option<String>,
}

#[derive(Deserialize)]
struct LoginQuery {
    next: Option<String>,
    #[serde(default)]
    unsaved: String,
}

/// Shows the form.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "poem passes extractors by value"
)]
pub fn show(view: View, Query(query): Query<LoginQuery>) -> poem::Result<Response> {
    let next = safe_redirect(query.next.as_deref().unwrap_or("/admin/"));
    let error = (!query.unsaved.is_empty()).then(|| view.t.unsaved.to_owned());
    let page = Page::new(&view, String::new(), next, error);
    view.page(StatusCode::OK, &page)
}

/// Signs in. The response does not reveal whether the account is unknown, is not staff, or has another password.
#[handler]
pub async fn sign_in(
    Data(app): Data<&App>,
    view: View,
    audit: AuditContext,
    form: Form,
    request: &Request,
) -> poem::Result<Response> {
    let next = safe_redirect(&form.text("next"));
    let email = form.text("email");
    match start_session(app, form, &audit, request).await {
        Ok(cookie) => {
            let mut response = redirect(app, &next);
            cookies::set(&mut response, &cookie);
            Ok(response)
        }
        Err(ApiError::SecondFactorRequired(challenge)) => {
            Ok(second_step::redirect_to(app, &challenge, &next))
        }
        Err(error) => {
            let state = FormState::default().with_error(view.t, &error);
            let message = state.problem.unwrap_or(view.t.wrong_sign_in.to_owned());
            view.page_with_error(error, &Page::new(&view, email, next, Some(message)))
        }
    }
}

async fn start_session(
    app: &App,
    form: Form,
    audit: &AuditContext,
    request: &Request,
) -> Result<Cookie, ApiError> {
    let user = login::authenticate(app, form.into_fields(), audit).await?;
    ensure_staff(app, &user, audit).await?;
    login_step::require(app, &user).await?;
    store_session(app, &user, None, audit, request).await
}

/// Refuses an account that may not sign in to the dashboard.
pub(super) async fn ensure_staff(
    app: &App,
    user: &user::Model,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    if user.is_staff {
        return Ok(());
    }
    login::record_failure(app, audit, &user.email, Some(user.id), "not_staff").await?;
    Err(ApiError::InvalidCredentials)
}

/// Starts the session of the dashboard, and returns its cookie.
pub(super) async fn store_session(
    app: &App,
    user: &user::Model,
    factor: Option<&ProvedFactor>,
    audit: &AuditContext,
    request: &Request,
) -> Result<Cookie, ApiError> {
    let device = user_agent(request);
    let (mut session, _) = login::new_session(app, user.id, device, audit);
    session.expires_at = session.created_at + app.config.sessions.admin;
    session.second_factor_at = factor.map(|_| session.created_at);
    let (id, method) = (
        session.id,
        LoginMethod {
            is_dashboard: true,
            factor,
        },
    );
    login::store_session(app, user, session, method, audit).await?;
    dashboard_session::end(app, request).await?;
    dashboard_session::start(app, id).await
}

/// Ends the session, or with `everywhere` all sessions of the account, which requires a live session.
#[handler]
pub async fn sign_out(
    Data(app): Data<&App>,
    audit: AuditContext,
    form: Form,
    request: &Request,
) -> poem::Result<Response> {
    let everywhere = form.is_checked("everywhere");
    match dashboard_session::find(app, request).await? {
        Some(me) => end_sessions(app, &me, everywhere, &audit).await?,
        None if everywhere => return Err(LoginRedirect::back_to(app, request).into()),
        None => {}
    }
    dashboard_session::end(app, request).await?;
    let mut response = redirect_with_flash(app, "/admin/login/", "signed_out", 1);
    cookies::set(&mut response, &cookies::removal(app, SIGNED_IN));
    Ok(response)
}

async fn end_sessions(
    app: &App,
    me: &CurrentUser,
    everywhere: bool,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let (user, session, now) = (me.user.id, me.session.id, app.now());
    let transaction = database::begin(&app.db).await?;
    let detail = if everywhere {
        user::lock(&transaction, user).await?;
        session::revoke_all(&transaction, user, now).await?;
        "every session"
    } else {
        session::revoke(&transaction, session, now).await?;
        "dashboard"
    };
    let event = Event {
        detail: Some(detail.to_owned()),
        ..with_session(audit.own(EventKind::TokenRevoked, user), session)
    };
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    Ok(())
}

/// Saves theme and language in cookies for a year.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "poem passes extractors by value"
)]
pub fn save_preferences(Data(app): Data<&App>, form: Form) -> Response {
    let mut response = redirect(app, &safe_redirect(&form.text("back")));
    for (name, field, known) in [
        (THEME, "theme", ["light", "dark"]),
        (LANGUAGE, "language", ["en", "ar"]),
    ] {
        let chosen = form.text(field);
        let cookie = if known.contains(&chosen.as_str()) {
            let mut cookie = cookies::build(app, name, &chosen);
            cookie.set_max_age(PREFERENCE_LIFETIME);
            cookie
        } else {
            cookies::removal(app, name)
        };
        cookies::set(&mut response, &cookie);
    }
    response
}

impl Page {
    fn new(view: &View, email: String, next: String, error: Option<String>) -> Self {
        Self {
            title: view.t.sign_in,
            v: view.clone(),
            email,
            next,
            error,
        }
    }
}
