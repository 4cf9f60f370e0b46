//! `/admin/resets/`: who asked for a new password. Only to look at.

use askama::Template;
use chrono::{DateTime, Utc};
use latchkey_shared::models::password_reset::{self, Purpose};
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use serde::Deserialize;

use crate::admin::{
    dashboard::context::{CurrentAdmin, View},
    permissions::{Permit, ViewUsers},
};
use crate::{app_state::App, http::error::ApiError};

/// How many a page has.
const SIZE: usize = 50;

#[derive(Template)]
#[template(path = "admin/resets.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    now: DateTime<Utc>,
    rows: Vec<password_reset::Model>,
    first: bool,
    next: Option<String>,
}

#[derive(Deserialize)]
struct ResetListQuery {
    before: Option<String>,
}

/// The list.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<ViewUsers>,
    view: View,
    Query(asked): Query<ResetListQuery>,
) -> poem::Result<Response> {
    let before = asked.before.and_then(|id| id.parse().ok());
    let mut rows =
        password_reset::list(&app.db, Some(Purpose::Reset), None, before, SIZE as u64 + 1)
            .await
            .map_err(ApiError::from)?;
    let more = rows.len() > SIZE;
    rows.truncate(SIZE);
    let page = Page {
        v: view.clone(),
        me: CurrentAdmin::of(&admin),
        title: view.t.resets,
        section: "resets",
        now: app.now(),
        first: before.is_none(),
        next: rows.last().filter(|_| more).map(|row| row.id.to_string()),
        rows,
    };
    view.page(StatusCode::OK, &page)
}
