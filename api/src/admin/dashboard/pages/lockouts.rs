//! `/admin/limits/`: the list of lockouts.

use askama::Template;
use poem::{Response, handler, http::StatusCode, web::Data};

use crate::admin::{
    actions::lockouts::{self, LockoutRow},
    dashboard::{
        context::View,
        csrf::Form,
        current_admin::CurrentAdmin,
        redirect::{redirect_with_flash, safe_redirect},
    },
    permissions::{ChangeUsers, Permit, ViewUsers},
};
use crate::app_state::App;

#[derive(Template)]
#[template(path = "admin/lockouts.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    rows: Vec<LockoutRow>,
}

/// Shows the list.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<ViewUsers>,
    view: View,
) -> poem::Result<Response> {
    let page = Page {
        title: view.t.lockouts,
        section: "lockouts",
        rows: lockouts::list(app, view.t.mailbox).await?,
        v: view.clone(),
        me: CurrentAdmin::of(&admin),
    };
    view.page(StatusCode::OK, &page)
}

/// Removes a lockout.
#[handler]
pub async fn unlock(
    Data(app): Data<&App>,
    admin: Permit<ChangeUsers>,
    form: Form,
) -> poem::Result<Response> {
    lockouts::unlock(app, &admin, &form.text("name")).await?;
    let target = safe_redirect(&form.text("back"));
    Ok(redirect_with_flash(app, &target, "unlocked", 1))
}
