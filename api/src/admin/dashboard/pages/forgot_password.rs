//! `/admin/forgot/` and `/admin/reset/`: a password reset at the sign-in, with the steps and limits of the API.
//!
//! Both pages answer alike for every email. The token of the reset is in a cookie, so that it appears in no URL.

use askama::Template;
use latchkey_shared::{
    models::password_reset::{Model as Reset, Purpose},
    types::email::Email,
};
use poem::{Request, Response, handler, http::StatusCode, web::Data};

use crate::admin::dashboard::{
    code_cookie,
    context::View,
    cookies::{self, RESET},
    csrf::Form,
    form_state::FormState,
    pages::setup::passwords_differ,
    redirect::{redirect, redirect_with_flash},
};
use crate::{
    app_state::App,
    auth::{jwt::ResetToken, one_time_code, password_reset},
    http::{audit_context::AuditContext, error::ApiError},
    passwords::Password,
    rate_limit::Limit,
};

const REQUEST_PAGE: &str = "/admin/forgot/";
const RESET_PAGE: &str = "/admin/reset/";

#[derive(Template)]
#[template(path = "admin/forgot.html")]
struct RequestPage {
    v: View,
    title: &'static str,
    form: FormState,
}

#[derive(Template)]
#[template(path = "admin/reset.html")]
struct ResetPage {
    v: View,
    title: &'static str,
    form: FormState,
    /// Whether the code was entered, so that only a password is missing.
    code_accepted: bool,
}

/// Shows the form that asks for an email.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "poem passes extractors by value"
)]
pub fn show_request(view: View) -> poem::Result<Response> {
    let page = RequestPage::new(&view, FormState::default());
    view.page(StatusCode::OK, &page)
}

/// Requests a code, and redirects to the page that takes it.
#[handler]
pub async fn request_code(
    Data(app): Data<&App>,
    view: View,
    audit: AuditContext,
    form: Form,
) -> poem::Result<Response> {
    let entered = FormState::from_form(&form, &["email"]);
    match start(app, form, &audit).await {
        Ok(token) => {
            let mut response = redirect(app, RESET_PAGE);
            cookies::set(&mut response, &code_cookie::build(app, RESET, &token));
            Ok(response)
        }
        Err(error) => {
            let form = entered.with_error(view.t, &error);
            view.page_with_error(error, &RequestPage::new(&view, form))
        }
    }
}

async fn start(app: &App, form: Form, audit: &AuditContext) -> Result<ResetToken, ApiError> {
    app.count_request(audit, Limit::CodeRequest).await?;
    let mut fields = form.into_fields();
    let email = fields.required::<Email>("email");
    fields.finish()?;
    password_reset::start(app, &email?, audit).await
}

/// Shows the form that takes the code and a new password.
#[handler]
pub async fn show_reset(
    Data(app): Data<&App>,
    view: View,
    request: &Request,
) -> poem::Result<Response> {
    let Some((_, reset)) = find(app, request).await? else {
        return Ok(redirect_with_flash(app, REQUEST_PAGE, "reset_expired", 1));
    };
    let page = ResetPage::new(app, &view, &reset, FormState::default());
    view.page(StatusCode::OK, &page)
}

/// Checks the code and sets the password. After an invalid password, the page no longer asks for an accepted code.
#[handler]
pub async fn reset_password(
    Data(app): Data<&App>,
    view: View,
    audit: AuditContext,
    form: Form,
    request: &Request,
) -> poem::Result<Response> {
    app.count_request(&audit, Limit::PasswordReset).await?;
    let Some((token, reset)) = find(app, request).await? else {
        audit.record_invalid_token(app, "reset").await;
        return Ok(redirect_with_flash(app, REQUEST_PAGE, "reset_expired", 1));
    };
    let Err(error) = finish(app, &token, &reset, form, &audit).await else {
        let mut response = redirect_with_flash(app, "/admin/login/", "password_reset", 1);
        cookies::set(&mut response, &cookies::removal(app, RESET));
        return Ok(response);
    };
    let reset = one_time_code::find(app, &token, Purpose::Reset).await?;
    let reset = reset.ok_or(ApiError::InvalidResetToken)?;
    let form = FormState::default().with_error(view.t, &error);
    view.page_with_error(error, &ResetPage::new(app, &view, &reset, form))
}

/// Returns the token of the cookie and its reset, unless that has expired. Also returns an ended reset, since refusing it would
/// reveal that the email has an account.
async fn find(app: &App, request: &Request) -> Result<Option<(ResetToken, Reset)>, ApiError> {
    let found = code_cookie::find(app, request, RESET, Purpose::Reset).await?;
    Ok(found.filter(|(_, reset)| app.now() < reset.expires_at))
}

/// Checks the password as far as that needs no account, then the code, and then sets the password.
async fn finish(
    app: &App,
    token: &ResetToken,
    reset: &Reset,
    form: Form,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let needs_code = !reset.accepts_password(app.now());
    let matches = form.text("new_password") == form.text("password_again");
    let mut fields = form.into_fields();
    let code = needs_code.then(|| fields.required::<String>("otp"));
    let password = fields.required::<Password>("new_password");
    if let Ok(password) = &password
        && let Err(invalid) = app.passwords.check(password, None)
    {
        fields.add_error("new_password", invalid);
    }
    if !matches {
        fields.add_error("password_again", passwords_differ());
    }
    fields.finish()?;
    if let Some(code) = code {
        code_cookie::check(app, token, code?, Purpose::Reset, audit).await?;
    }
    password_reset::finish(app, reset, password?, audit).await
}

impl RequestPage {
    fn new(view: &View, form: FormState) -> Self {
        Self {
            title: view.t.reset_password,
            v: view.clone(),
            form,
        }
    }
}

impl ResetPage {
    fn new(app: &App, view: &View, reset: &Reset, form: FormState) -> Self {
        Self {
            title: view.t.reset_password,
            v: view.clone(),
            form,
            code_accepted: reset.accepts_password(app.now()),
        }
    }
}
