//! `/admin/account/email/`: the administrator's own email, which changes by the password and a code.

use askama::Template;
use latchkey_shared::{
    models::password_reset::{Model as Change, Purpose},
    types::email::Email,
};
use poem::{Request, Response, handler, http::StatusCode, web::Data};

use crate::admin::{
    dashboard::{
        code_cookie,
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
    auth::{email_change, jwt::ResetToken},
    http::error::ApiError,
    passwords::CurrentPassword,
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
    let found = find(app, &admin, request).await?;
    if found.is_none() {
        // Only the request needs a factor, not its code.
        admin.current_user()?.check_second_factor(app)?;
    }
    let pending = found.as_ref().map(|(_, change)| change);
    let page = Page::new(&view, &admin, pending, FormState::default());
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
            let mut response = redirect(app, PAGE);
            cookies::set(
                &mut response,
                &code_cookie::build(app, EMAIL_CHANGE, &token),
            );
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
    let me = admin.current_user()?;
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
    let Some((token, pending)) = find(app, &admin, request).await? else {
        return Ok(redirect_with_flash(app, PAGE, "email_change_expired", 1));
    };
    let (code, purpose) = (form.text("otp"), Purpose::EmailChange);
    match code_cookie::check(app, &token, code, purpose, &admin.audit).await {
        Ok(()) => {
            let mut response = redirect_with_flash(app, "/admin/account/", "email_changed", 1);
            cookies::set(&mut response, &cookies::removal(app, EMAIL_CHANGE));
            Ok(response)
        }
        Err(error) => {
            let form = FormState::default().with_error(view.t, &error);
            view.page_with_error(error, &Page::new(&view, &admin, Some(&pending), form))
        }
    }
}

/// Returns the token of the cookie and its change, if that is open and of this account.
async fn find(
    app: &App,
    admin: &Admin,
    request: &Request,
) -> Result<Option<(ResetToken, Change)>, ApiError> {
    let found = code_cookie::find(app, request, EMAIL_CHANGE, Purpose::EmailChange).await?;
    Ok(found
        .filter(|(_, change)| change.user_id == Some(admin.user.id) && change.is_open(app.now())))
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
