//! `/admin/cancel-email/?token=…`: cancels a requested change of an email. The notice to the account's email links to this page, which
//! needs no sign-in.

use askama::Template;
use poem::{Response, handler, http::StatusCode, web::Data, web::Query};
use serde::Deserialize;

use crate::admin::dashboard::{context::View, csrf::Form};
use crate::{
    app_state::App,
    auth::email_change::{self, ChangeState},
    http::audit_context::AuditContext,
};

#[derive(Template)]
#[template(path = "admin/cancel_email.html")]
struct Page {
    v: View,
    title: &'static str,
    token: String,
    state: State,
    /// `RESET_URL`, if set.
    reset_url: Option<String>,
    /// `SUPPORT_ADDRESS`, if set.
    support: Option<String>,
}

/// What the page says.
#[derive(Clone, Copy)]
enum State {
    /// The change waits for its code, and can be cancelled.
    Open,
    /// The form was sent, and has cancelled the change.
    Cancelled,
    /// The account has the new email.
    Completed,
    /// The change was cancelled before, or its code has expired.
    Ended,
    /// The change is no longer stored.
    Expired,
    /// The token is not genuine.
    Invalid,
}

/// The query of the link.
#[derive(Deserialize)]
pub struct Link {
    #[serde(default)]
    token: String,
}

/// Shows the form, or why there is no change to cancel. Opening the link changes nothing, as some mail programs open every link.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    view: View,
    Query(link): Query<Link>,
) -> poem::Result<Response> {
    let state = match app.token_hasher.request_of_cancel_token(&link.token) {
        Some(request) => State::of(email_change::state(app, request).await?),
        None => State::Invalid,
    };
    Page::respond(app, &view, link.token, state)
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
    let state = match app.token_hasher.request_of_cancel_token(&token) {
        Some(request) if email_change::cancel(app, request, &audit).await? => State::Cancelled,
        Some(request) => State::of(email_change::state(app, request).await?),
        None => State::Invalid,
    };
    Page::respond(app, &view, token, state)
}

impl State {
    fn of(change: ChangeState) -> Self {
        match change {
            ChangeState::Open => Self::Open,
            ChangeState::Completed => Self::Completed,
            ChangeState::Ended => Self::Ended,
            ChangeState::Unknown => Self::Expired,
        }
    }

    /// Whether the text asks for a password reset.
    fn needs_reset(self) -> bool {
        matches!(self, Self::Cancelled | Self::Ended | Self::Expired)
    }

    /// Whether the text asks to write to the operator.
    fn needs_support(self) -> bool {
        matches!(self, Self::Completed | Self::Expired)
    }
}

impl Page {
    fn respond(app: &App, view: &View, token: String, state: State) -> poem::Result<Response> {
        let branding = &app.config.common.mail_branding;
        let status = match state {
            State::Invalid => StatusCode::NOT_FOUND,
            _ => StatusCode::OK,
        };
        let page = Self {
            title: view.t.cancel_email_change,
            v: view.clone(),
            token,
            state,
            reset_url: branding.reset_url.as_ref().map(ToString::to_string),
            support: branding.support.as_ref().map(ToString::to_string),
        };
        view.page(status, &page)
    }
}
