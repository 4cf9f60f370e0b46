//! `/admin/login/code/`: the second step of a sign-in to an account with a second factor.

use std::time::Duration;

use askama::Template;
use poem::{
    Request, Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use serde::Deserialize;

use crate::admin::dashboard::{
    context::View,
    cookies::{self, CHALLENGE},
    csrf::Form,
    form_state::FormState,
    pages::sign_in::{ensure_staff, store_session},
    redirect::{redirect, redirect_with_flash, safe_redirect},
};
use crate::{
    app_state::App,
    auth::second_factor::{challenge::LIFETIME, login_step},
    http::{
        audit_context::AuditContext,
        body::fields::{Fields, Value},
        error::{ApiError, Challenge},
    },
};

#[derive(Template)]
#[template(path = "admin/second_step.html")]
struct Page {
    v: View,
    title: &'static str,
    next: String,
    form: FormState,
}

#[derive(Deserialize)]
struct NextQuery {
    next: Option<String>,
}

/// Redirects to the form, with the challenge in a cookie.
pub(super) fn redirect_to(app: &App, challenge: &Challenge, next: &str) -> Response {
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let mut response = redirect(app, &format!("/admin/login/code/?next={next}"));
    let mut cookie = cookies::build(app, CHALLENGE, &challenge.token);
    cookie.set_max_age(Duration::from_secs(LIFETIME.unsigned_abs()));
    cookies::set(&mut response, &cookie);
    response
}

/// Shows the form.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "poem passes extractors by value"
)]
pub fn show(
    Data(app): Data<&App>,
    view: View,
    Query(query): Query<NextQuery>,
    request: &Request,
) -> poem::Result<Response> {
    if cookies::read(app, request, CHALLENGE).is_none() {
        return Ok(redirect(app, "/admin/login/"));
    }
    let next = safe_redirect(query.next.as_deref().unwrap_or("/admin/"));
    view.page(
        StatusCode::OK,
        &Page::new(&view, next, FormState::default()),
    )
}

/// Checks the second factor, and signs in.
#[handler]
pub async fn sign_in(
    Data(app): Data<&App>,
    view: View,
    audit: AuditContext,
    form: Form,
    request: &Request,
) -> poem::Result<Response> {
    let Some(challenge) = cookies::read(app, request, CHALLENGE) else {
        return Ok(redirect_with_flash(
            app,
            "/admin/login/",
            "sign_in_expired",
            1,
        ));
    };
    let next = safe_redirect(&form.text("next"));
    let mut response = match complete(app, challenge, &form, &audit, request).await {
        Ok(cookie) => {
            let mut response = redirect(app, &next);
            cookies::set(&mut response, &cookie);
            response
        }
        Err(ApiError::InvalidChallenge | ApiError::InvalidCredentials) => {
            redirect_with_flash(app, "/admin/login/", "sign_in_expired", 1)
        }
        Err(error) => {
            let form = FormState::default().with_error(view.t, &error);
            return view.page_with_error(error, &Page::new(&view, next, form));
        }
    };
    cookies::set(&mut response, &cookies::removal(app, CHALLENGE));
    Ok(response)
}

async fn complete(
    app: &App,
    challenge: String,
    form: &Form,
    audit: &AuditContext,
    request: &Request,
) -> Result<poem::web::cookie::Cookie, ApiError> {
    let mut fields = factor_fields(form);
    fields.push(("challenge".to_owned(), Value::Text(challenge)));
    let login = login_step::prove(app, Fields::new(fields), audit).await?;
    ensure_staff(app, &login.user, audit).await?;
    store_session(app, &login.user, Some(&login.factor), audit, request).await
}

/// Returns the field of the entered code: six digits are a code of the app, anything else is a recovery code.
pub(super) fn factor_fields(form: &Form) -> Vec<(String, Value)> {
    let entered = form.text("code");
    let is_recovery_code = entered.chars().any(char::is_alphabetic);
    let name = if is_recovery_code {
        "recovery_code"
    } else {
        "code"
    };
    vec![(name.to_owned(), Value::Text(entered))]
}

impl Page {
    fn new(view: &View, next: String, form: FormState) -> Self {
        Self {
            title: view.t.factors().second_step,
            v: view.clone(),
            next,
            form,
        }
    }
}
