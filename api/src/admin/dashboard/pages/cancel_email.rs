//! `/admin/cancel-email/?token=…`: cancels a requested change of an email. The notice to the account's email links to this page, which
//! needs no sign-in.

use askama::Template;
use poem::{Response, handler, http::StatusCode, web::Data, web::Query};
use serde::Deserialize;

use crate::admin::dashboard::{context::View, csrf::Form};
use crate::{
    app_state::App,
    auth::email_change,
    http::{audit_context::AuditContext, error::ApiError},
};

#[derive(Template)]
#[template(path = "admin/cancel_email.html")]
struct Page {
    v: View,
    title: &'static str,
    token: String,
    /// The result, after the form was sent: whether the change was still open.
    cancelled: Option<bool>,
}

/// The query of the link.
#[derive(Deserialize)]
pub struct Link {
    token: String,
}

/// Shows the form. Opening the link changes nothing, as some mail programs open every link.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "poem passes extractors by value"
)]
pub fn show(Data(app): Data<&App>, view: View, Query(link): Query<Link>) -> poem::Result<Response> {
    if app
        .token_hasher
        .request_of_cancel_token(&link.token)
        .is_none()
    {
        return Err(ApiError::NotFound.into());
    }
    view.page(StatusCode::OK, &Page::new(&view, link.token, None))
}

/// Cancels the change.
#[handler]
pub async fn cancel(
    Data(app): Data<&App>,
    view: View,
    audit: AuditContext,
    form: Form,
) -> poem::Result<Response> {
    let token = form.text("token");
    let request = app.token_hasher.request_of_cancel_token(&token);
    let request = request.ok_or(ApiError::NotFound)?;
    let cancelled = email_change::cancel(app, request, &audit).await?;
    view.page(StatusCode::OK, &Page::new(&view, token, Some(cancelled)))
}

impl Page {
    fn new(view: &View, token: String, cancelled: Option<bool>) -> Self {
        Self {
            title: view.t.cancel_email_change,
            v: view.clone(),
            token,
            cancelled,
        }
    }
}
