//! `/admin/login/`, `/admin/logout/` and `/admin/preferences/`.

use askama::Template;
use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        session, user,
    },
    types::email::Email,
};
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Query, cookie::Cookie},
};
use serde::Deserialize;

use crate::admin::dashboard::{
    context::{self, LANGUAGE, THEME, View, add, back, go, place},
    csrf::Form,
    form_state::FormState,
    session::{self as cookie, SIGNED_IN},
};
use crate::{
    app_state::App,
    auth::{bearer::SignedIn, login},
    http::{
        audit_context::{AuditContext, of_session},
        error::ApiError,
    },
    passwords::Password,
};

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
struct Wanted {
    next: Option<String>,
    #[serde(default)]
    unsaved: String,
}

/// The form.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "what a handler is given comes by value"
)]
pub fn show(view: View, Query(wanted): Query<Wanted>) -> poem::Result<Response> {
    let next = place(wanted.next.as_deref().unwrap_or("/admin/"));
    let lost = (!wanted.unsaved.is_empty()).then(|| view.t.unsaved.to_owned());
    view.page(StatusCode::OK, &Page::new(&view, String::new(), next, lost))
}

/// Signs in, under a new cookie. Who is unknown, not staff or wrong about the password gets one answer.
#[handler]
pub async fn enter(
    Data(app): Data<&App>,
    view: View,
    trail: AuditContext,
    form: Form,
    request: &Request,
) -> poem::Result<Response> {
    let next = place(&form.text("next"));
    let typed = form.text("email");
    match sign_in(app, form, &trail, request).await {
        Ok(cookie) => {
            let mut response = go(app, &next);
            add(&mut response, &cookie);
            Ok(response)
        }
        Err(error) => {
            let status = error.kind().status;
            if status.is_server_error() {
                return Err(error.into());
            }
            let wait = error.retry_after();
            let refused = FormState::default().refused(view.t, &error);
            let says = refused.problem.unwrap_or(view.t.wrong_sign_in.to_owned());
            let page = view.page(status, &Page::new(&view, typed, next, Some(says)))?;
            Ok(context::with_wait(page, wait))
        }
    }
}

async fn sign_in(
    app: &App,
    form: Form,
    trail: &AuditContext,
    request: &Request,
) -> Result<Cookie, ApiError> {
    let mut fields = form.into_fields();
    let (email, password) = (
        fields.required::<Email>("email"),
        fields.required::<Password>("password"),
    );
    fields.finish()?;
    let email = email?;
    let limit = app.limits.login(trail.peer, &email, app.now()).await;
    let guess = trail
        .limited(app, "login", Some(&email.key()), limit)
        .await?;
    let (user, verdict) = login::authenticate(app, &email, password?, guess, trail).await?;
    if !user.is_staff {
        login::record_failure(app, trail, &email, Some(user.id), "not staff").await?;
        return Err(ApiError::InvalidCredentials);
    }
    let device = login::user_agent(request);
    let (mut session, _) = login::new_session(app, user.id, device, trail);
    session.expires_at = session.created_at + app.config.admin_session;
    let id = session.id;
    login::store_session(app, &user, verdict, session, trail, Some("dashboard")).await?;
    cookie::end(app, request).await?;
    cookie::start(app, id).await
}

/// Ends this session, or with `everywhere` all of the account's. Whoever is not signed in any more has to sign in to end
/// the others.
#[handler]
pub async fn leave(
    Data(app): Data<&App>,
    trail: AuditContext,
    form: Form,
    request: &Request,
) -> poem::Result<Response> {
    let everywhere = form.is_ticked("everywhere");
    match cookie::find(app, request).await? {
        Some(me) => end(app, &me, everywhere, &trail).await?,
        None if everywhere => return Err(cookie::LoginRedirect::to_see(app, request).into()),
        None => {}
    }
    cookie::end(app, request).await?;
    let mut response = back(app, "/admin/login/", "left", 1);
    add(&mut response, &cookie::removal(app, SIGNED_IN));
    Ok(response)
}

async fn end(
    app: &App,
    me: &SignedIn,
    everywhere: bool,
    trail: &AuditContext,
) -> Result<(), ApiError> {
    let (user, session, now) = (me.user.id, me.session.id, app.now());
    let transaction = database::begin(&app.db).await?;
    let detail = if everywhere {
        user::hold(&transaction, user).await?;
        session::revoke_all(&transaction, user, now).await?;
        "every session"
    } else {
        session::revoke(&transaction, session, now).await?;
        "dashboard"
    };
    let event = Event {
        detail: Some(detail.to_owned()),
        ..of_session(trail.own(EventKind::TokenRevoked, user), session)
    };
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    Ok(())
}

/// Theme and language, for everybody, kept in cookies for a year.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "what a handler is given comes by value"
)]
pub fn prefer(Data(app): Data<&App>, form: Form) -> Response {
    let mut response = go(app, &place(&form.text("back")));
    for (name, field, known) in [
        (THEME, "theme", ["light", "dark"]),
        (LANGUAGE, "language", ["en", "ar"]),
    ] {
        let chosen = form.text(field);
        let mut cookie = if known.contains(&chosen.as_str()) {
            cookie::cookie(app, name, &chosen)
        } else {
            cookie::removal(app, name)
        };
        if known.contains(&chosen.as_str()) {
            cookie.set_max_age(std::time::Duration::from_hours(24 * 365));
        }
        context::add(&mut response, &cookie);
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
