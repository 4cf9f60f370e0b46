//! `/admin/account/verify/`: asks for a second factor again, before a change of the own access.

use askama::Template;
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use serde::Deserialize;

use crate::admin::{
    dashboard::{
        context::View,
        csrf::Form,
        current_admin::CurrentAdmin,
        form_state::FormState,
        pages::second_step::factor_fields,
        redirect::{SECURITY_PAGE, redirect, safe_redirect},
    },
    permissions::{Admin, EnrollingStaff, Permit},
};
use crate::{
    app_state::App,
    auth::second_factor::{proof::SentFactor, verify},
    http::{body::fields::Fields, error::ApiError},
};

#[derive(Template)]
#[template(path = "admin/verify.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    next: String,
    form: FormState,
}

#[derive(Deserialize)]
struct NextQuery {
    next: Option<String>,
}

/// Shows the form.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "poem passes extractors by value"
)]
pub fn show(
    Data(app): Data<&App>,
    admin: Permit<EnrollingStaff>,
    view: View,
    Query(query): Query<NextQuery>,
) -> poem::Result<Response> {
    if admin.user.second_factor_at.is_none() {
        return Ok(redirect(app, SECURITY_PAGE));
    }
    let next = safe_redirect(query.next.as_deref().unwrap_or("/admin/"));
    let page = Page::new(&view, &admin, next, FormState::default());
    view.page(StatusCode::OK, &page)
}

/// Checks the second factor, and returns to the page that needs it.
#[handler]
pub async fn check(
    Data(app): Data<&App>,
    admin: Permit<EnrollingStaff>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let next = safe_redirect(&form.text("next"));
    match prove(app, &admin, &form).await {
        Ok(()) => Ok(redirect(app, &next)),
        Err(error) => {
            let form = FormState::default().with_error(view.t, &error);
            view.page_with_error(error, &Page::new(&view, &admin, next, form))
        }
    }
}

async fn prove(app: &App, admin: &Admin, form: &Form) -> Result<(), ApiError> {
    let mut fields = Fields::new(factor_fields(form));
    let sent = SentFactor::read(&mut fields)?;
    verify(app, &admin.current_user()?, sent, &admin.audit).await?;
    Ok(())
}

impl Page {
    fn new(view: &View, admin: &Admin, next: String, form: FormState) -> Self {
        Self {
            title: view.t.factors().second_step,
            section: "account",
            v: view.clone(),
            me: CurrentAdmin::of(admin),
            next,
            form,
        }
    }
}
