//! `/admin/account/email/`: the administrator's own email, which changes by the password and a code.
//!
//! The token of the change is in a cookie, so that it appears in no URL.

use askama::Template;
use latchkey_shared::{
    models::password_reset::{Model as Change, Purpose},
    types::email::Email,
};
use poem::{Request, Response, handler, http::StatusCode, web::Data};

use crate::admin::{
    dashboard::{
        context::View,
        cookies::{self, EMAIL_CHANGE},
        csrf::Form,
        current_admin::CurrentAdmin,
        form_state::FormState,
        redirect::{redirect, redirect_with_flash},
    },
    permissions::{Admin, AnyStaff, Permit},
};
use crate::{
    app_state::App,
    auth::{bearer::CurrentUser, email_change, jwt::ResetToken, one_time_code},
    http::{
        body::fields::{Fields, Value},
        error::ApiError,
    },
    passwords::CurrentPassword,
    rate_limit::Limit,
};

const PAGE: &str = "/admin/account/email/";

#[derive(Template)]
#[template(path = "admin/own_email.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    /// The current email.
    email: String,
    /// The new email, whose code the page asks for.
    pending: Option<String>,
    form: FormState,
}

/// Shows the form that asks for a new email, or for its code.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<AnyStaff>,
    view: View,
    request: &Request,
) -> poem::Result<Response> {
    let pending = find(app, &admin, request).await?;
    let page = Page::new(&view, &admin, pending.as_ref(), FormState::default());
    view.page(StatusCode::OK, &page)
}

/// Requests the change, and redirects to the form that takes the code.
#[handler]
pub async fn request_change(
    Data(app): Data<&App>,
    admin: Permit<AnyStaff>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let entered = FormState::from_form(&form, &["email"]);
    match start(app, &admin, form).await {
        Ok(token) => {
            let mut cookie = cookies::build(app, EMAIL_CHANGE, token.expose());
            let lifetime = app.config.accounts.reset_lifetime;
            cookie.set_max_age(lifetime.to_std().unwrap_or_default());
            let mut response = redirect(app, PAGE);
            cookies::set(&mut response, &cookie);
            Ok(response)
        }
        Err(error) => {
            let form = entered.with_error(view.t, &error);
            view.page_with_error(error, &Page::new(&view, &admin, None, form))
        }
    }
}

async fn start(app: &App, admin: &Admin, form: Form) -> Result<ResetToken, ApiError> {
    let mut fields = form.into_fields();
    let email = fields.required::<Email>("email");
    let password = fields.required::<CurrentPassword>("password");
    fields.finish()?;
    let me = CurrentUser {
        user: admin.user.clone(),
        session: admin.session.clone(),
    };
    email_change::request(app, &me, password?, &email?, &admin.audit).await
}

/// Checks the code, which completes the change.
#[handler]
pub async fn confirm(
    Data(app): Data<&App>,
    admin: Permit<AnyStaff>,
    view: View,
    form: Form,
    request: &Request,
) -> poem::Result<Response> {
    let pending = find(app, &admin, request).await?;
    let Some(token) = cookies::read(app, request, EMAIL_CHANGE) else {
        return Ok(redirect_with_flash(app, PAGE, "email_change_expired", 1));
    };
    match check(app, &admin, token, form).await {
        Ok(()) => {
            let mut response = redirect_with_flash(app, "/admin/account/", "email_changed", 1);
            cookies::set(&mut response, &cookies::removal(app, EMAIL_CHANGE));
            Ok(response)
        }
        Err(error) => {
            let form = FormState::default().with_error(view.t, &error);
            view.page_with_error(error, &Page::new(&view, &admin, pending.as_ref(), form))
        }
    }
}

async fn check(app: &App, admin: &Admin, token: String, form: Form) -> Result<(), ApiError> {
    app.count_request(&admin.audit, Limit::Code).await?;
    let fields = [("token", token), ("otp", form.text("otp"))];
    let fields = fields.map(|(name, value)| (name.to_owned(), Value::Text(value)));
    let purpose = Purpose::EmailChange;
    one_time_code::check_fields(app, Fields::new(fields), purpose, &admin.audit).await
}

/// Returns the open change of the cookie's token.
async fn find(app: &App, admin: &Admin, request: &Request) -> Result<Option<Change>, ApiError> {
    let token = cookies::read(app, request, EMAIL_CHANGE);
    let Some(token) = token.and_then(|token| token.parse::<ResetToken>().ok()) else {
        return Ok(None);
    };
    let change = one_time_code::find(app, &token, Purpose::EmailChange).await?;
    let is_own =
        |change: &Change| change.user_id == Some(admin.user.id) && change.is_open(app.now());
    Ok(change.filter(is_own))
}

impl Page {
    fn new(view: &View, admin: &Admin, pending: Option<&Change>, form: FormState) -> Self {
        let pending = pending.and_then(|change| change.new_email.as_ref());
        Self {
            title: view.t.change_email,
            section: "account",
            v: view.clone(),
            me: CurrentAdmin::of(admin),
            email: admin.user.email.to_string(),
            pending: pending.map(ToString::to_string),
            form,
        }
    }
}
