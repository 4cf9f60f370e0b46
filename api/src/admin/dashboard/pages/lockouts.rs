//! `/admin/limits/`: who is held by a limit, and letting them go.

use askama::Template;
use latchkey_shared::models::user;
use poem::{Response, handler, http::StatusCode, web::Data};

use crate::admin::{
    actions::lockouts::{self, LockoutOwners},
    dashboard::{
        context::{CurrentAdmin, View, back, place},
        csrf::Form,
    },
    permissions::{ChangeUsers, Permit, ViewUsers},
};
use crate::{
    app_state::App,
    http::error::ApiError,
    rate_limit::{Lockout, LockoutSubject},
};

/// How many are shown.
const MAX_ROWS: i64 = 100;

#[derive(Template)]
#[template(path = "admin/limits.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    rows: Vec<Row>,
}

/// Somebody who is held, and whose account it is where that is known.
pub struct Row {
    /// By what, until when.
    pub held: Lockout,
    /// A network, or the beginning of a mailbox's fingerprint.
    pub whom: String,
    /// The account.
    pub user: Option<user::Model>,
}

/// The list.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<ViewUsers>,
    view: View,
) -> poem::Result<Response> {
    let page = Page {
        title: view.t.limits,
        section: "limits",
        rows: rows(app, view.t.mailbox).await?,
        v: view.clone(),
        me: CurrentAdmin::of(&admin),
    };
    view.page(StatusCode::OK, &page)
}

/// Lets somebody go.
#[handler]
pub async fn release(
    Data(app): Data<&App>,
    admin: Permit<ChangeUsers>,
    form: Form,
) -> poem::Result<Response> {
    lockouts::release(app, &admin, &form.text("name")).await?;
    Ok(back(app, &place(&form.text("back")), "released", 1))
}

/// Who is held.
///
/// # Errors
/// When Redis or the database fails.
pub async fn rows(app: &App, mailbox: &str) -> Result<Vec<Row>, ApiError> {
    let owners = LockoutOwners::load(app).await?;
    let mut rows = Vec::new();
    for held in app.limits.held(app.now(), MAX_ROWS).await? {
        let whom = match &held.whom {
            LockoutSubject::Peer(network) => network.clone(),
            LockoutSubject::Account(id) => id.to_string(),
            LockoutSubject::Mailbox(fingerprint) => {
                let short: String = fingerprint.chars().take(16).collect();
                format!("{mailbox} {short}")
            }
        };
        let user = owners.find(app, &held).await?;
        rows.push(Row { held, whom, user });
    }
    Ok(rows)
}
