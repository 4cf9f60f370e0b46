//! `/admin/audit/`: the audit log, and whether its chain is whole.

use askama::Template;
use latchkey_shared::audit::{self, EventKind, Filter};
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use serde::Deserialize;

use super::{
    permit::{Audit, Permit},
    users::Item,
    view::{Me, View, go},
};
use crate::{app::App, error::ApiError};

/// How many a page has.
const SIZE: usize = 50;

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct Page {
    v: View,
    me: Me,
    title: &'static str,
    section: &'static str,
    user: String,
    actor: String,
    kinds: Vec<Item>,
    query: String,
    rows: Vec<audit::Model>,
    first: bool,
    next: Option<i64>,
    verified: Option<Verified>,
}

/// What came of reading the whole chain.
struct Verified {
    whole: bool,
    says: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    user: String,
    actor: String,
    event: String,
    before: String,
}

/// The list.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<Audit>,
    view: View,
    Query(asked): Query<Asked>,
) -> poem::Result<Response> {
    let page = collect(app, Me::of(&admin), &view, asked, None).await?;
    view.page(StatusCode::OK, &page)
}

/// Whoever loads anew what that was said at.
#[handler]
pub fn list_instead() -> Response {
    go("/admin/audit/")
}

/// Reads the whole chain, and says whether it is as it was written.
#[handler]
pub async fn verify(
    Data(app): Data<&App>,
    admin: Permit<Audit>,
    view: View,
) -> poem::Result<Response> {
    let verified = match verify_alone(app).await? {
        Ok(head) => Verified {
            whole: true,
            says: format!("{} {}", view.t.verified_whole, head.seq),
        },
        Err(broken) => {
            tracing::error!(%broken, "The audit log is not whole.");
            Verified {
                whole: false,
                says: format!("{} {broken}", view.t.verified_broken),
            }
        }
    };
    let me = Me::of(&admin);
    let view = view.at("/admin/audit/");
    let page = collect(app, me, &view, Asked::default(), Some(verified)).await?;
    view.page(StatusCode::OK, &page)
}

/// Reads the whole chain, which is much work: nobody else does at the same time.
///
/// # Errors
/// When somebody does, or the database fails.
pub async fn verify_alone(app: &App) -> Result<Result<audit::Head, audit::Broken>, ApiError> {
    let _turn = app.verifying.try_acquire().map_err(|_| ApiError::Busy)?;
    match audit::verify(&app.db, &app.audit_key, None).await {
        Err(audit::Broken::Database(error)) => Err(error.into()),
        verified => Ok(verified),
    }
}

async fn collect(
    app: &App,
    me: Me,
    view: &View,
    asked: Asked,
    verified: Option<Verified>,
) -> Result<Page, ApiError> {
    let some = |text: &str| {
        let text = text.trim();
        (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
    };
    let filter = Filter {
        user_id: asked.user.trim().parse().ok(),
        actor: some(&asked.actor),
        event: some(&asked.event),
        since: None,
        before: asked.before.parse().ok(),
    };
    let first = filter.before.is_none();
    let mut rows = audit::list(&app.db, filter, SIZE as u64 + 1).await?;
    let more = rows.len() > SIZE;
    rows.truncate(SIZE);
    Ok(Page {
        title: view.t.audit,
        section: "audit",
        kinds: EventKind::ALL
            .iter()
            .map(|kind| Item {
                value: kind.as_str().to_owned(),
                label: kind.as_str().to_owned(),
                chosen: kind.as_str() == asked.event,
            })
            .collect(),
        query: form_urlencoded::Serializer::new(String::new())
            .append_pair("user", &asked.user)
            .append_pair("actor", &asked.actor)
            .append_pair("event", &asked.event)
            .finish(),
        user: asked.user,
        actor: asked.actor,
        first,
        next: rows.last().filter(|_| more).map(|row| row.seq),
        rows,
        verified,
        v: view.clone(),
        me,
    })
}
