//! `/admin/account/`: the administrator's own password.

use askama::Template;
use latchkey_shared::models::session::Model as Session;
use poem::{Request, Response, handler, http::StatusCode, web::Data};

use crate::admin::{
    dashboard::{
        context::View, cookies, csrf::Form, current_admin::CurrentAdmin, form_state::FormState,
        pages::setup::passwords_differ, redirect::redirect_with_flash, session,
    },
    permissions::{Admin, AnyStaff, Permit},
};
use crate::{
    app_state::App,
    auth::password_change,
    http::error::ApiError,
    passwords::{CurrentPassword, NewPassword, Owner, Password},
};

#[derive(Template)]
#[template(path = "admin/account.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    email: String,
    form: FormState,
}

/// Shows the form.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "poem passes extractors by value"
)]
pub fn show(admin: Permit<AnyStaff>, view: View) -> poem::Result<Response> {
    let page = Page::new(&view, &admin, FormState::default());
    view.page(StatusCode::OK, &page)
}

/// Changes the password. Ends all sessions of the account and starts a new one for this browser.
#[handler]
pub async fn change_password(
    Data(app): Data<&App>,
    admin: Permit<AnyStaff>,
    view: View,
    form: Form,
    request: &Request,
) -> poem::Result<Response> {
    let error = match change(app, &admin, form).await {
        Ok(new_session) => {
            session::end(app, request).await?;
            let cookie = session::start(app, new_session.id).await?;
            let mut response = redirect_with_flash(app, "/admin/account/", "password_changed", 1);
            cookies::set(&mut response, &cookie);
            return Ok(response);
        }
        Err(error) => error,
    };
    let form = FormState::default().with_error(view.t, &error);
    view.page_with_error(error, &Page::new(&view, &admin, form))
}

async fn change(app: &App, admin: &Admin, form: Form) -> Result<Session, ApiError> {
    let (current, new) = parse(app, admin, form).await?;
    let me = admin.current_user()?;
    let changed = password_change::change(app, &me, current, new, &admin.audit).await?;
    Ok(changed.session)
}

async fn parse(
    app: &App,
    admin: &Admin,
    form: Form,
) -> Result<(CurrentPassword, NewPassword), ApiError> {
    let matches = form.text("new_password") == form.text("password_again");
    let mut fields = form.into_fields();
    let current = fields.required::<CurrentPassword>("password");
    let new = fields.required::<Password>("new_password");
    let owner = Some(Owner::of(&admin.user));
    let new = fields
        .judge_password("new_password", new, &app.passwords, owner)
        .await?;
    if !matches {
        fields.add_error("password_again", passwords_differ());
    }
    fields.finish()?;
    Ok((current?, new?))
}

impl Page {
    fn new(view: &View, admin: &Admin, form: FormState) -> Self {
        Self {
            title: view.t.own_account,
            section: "account",
            email: admin.user.email.to_string(),
            v: view.clone(),
            me: CurrentAdmin::of(admin),
            form,
        }
    }
}
