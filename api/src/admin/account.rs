//! `/admin/account/`: the own password.

use askama::Template;
use poem::{Response, handler, http::StatusCode, web::Data};

use super::{
    filled::Filled,
    form::Form,
    permit::{Admin, AnyStaff, Permit},
    setup::differ,
    view::{Me, View, back, with_wait},
};
use crate::{
    app::App,
    error::ApiError,
    password::{NewPassword, Owner, Password},
    password_change,
    signed_in::SignedIn,
};

#[derive(Template)]
#[template(path = "admin/account.html")]
struct Page {
    v: View,
    me: Me,
    title: &'static str,
    section: &'static str,
    form: Filled,
}

/// The page.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "what a handler is given comes by value"
)]
pub fn show(admin: Permit<AnyStaff>, view: View) -> poem::Result<Response> {
    view.page(StatusCode::OK, &Page::new(&view, &admin, Filled::default()))
}

/// Changes the password. Every other session of the account ends.
#[handler]
pub async fn change_password(
    Data(app): Data<&App>,
    admin: Permit<AnyStaff>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let Err(error) = change(app, &admin, form).await else {
        return Ok(back(app, "/admin/account/", "password", 1));
    };
    let status = error.kind().status;
    if status.is_server_error() {
        return Err(error.into());
    }
    let form = Filled::default().refused(view.t, &error);
    let page = view.page(status, &Page::new(&view, &admin, form))?;
    Ok(with_wait(page, error.retry_after()))
}

async fn change(app: &App, admin: &Admin, form: Form) -> Result<(), ApiError> {
    let (current, new) = parse(admin, form)?;
    let me = SignedIn {
        user: admin.user.clone(),
        session: admin.session.clone(),
    };
    password_change::change(app, &me, current, new, &admin.trail).await
}

fn parse(admin: &Admin, form: Form) -> Result<(Password, NewPassword), ApiError> {
    let same = form.text("new_password") == form.text("password_again");
    let mut fields = form.into_fields();
    let current = fields.required::<Password>("password");
    let new = fields.required::<Password>("new_password").and_then(|new| {
        new.accept_for(Owner::of(&admin.user))
            .map_err(|invalid| fields.note("new_password", invalid))
    });
    if !same {
        fields.note("password_again", differ());
    }
    fields.finish()?;
    Ok((current?, new?))
}

impl Page {
    fn new(view: &View, admin: &Admin, form: Filled) -> Self {
        Self {
            title: view.t.own_account,
            section: "account",
            v: view.clone(),
            me: Me::of(admin),
            form,
        }
    }
}
