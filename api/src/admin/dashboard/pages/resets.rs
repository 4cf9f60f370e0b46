//! `/admin/resets/`: the list of password resets.

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
    dashboard::{context::View, current_admin::CurrentAdmin},
    paginate,
    permissions::{Permit, ViewUsers},
};
use crate::{app_state::App, http::error::ApiError};

const PAGE_SIZE: u16 = 50;

#[derive(Template)]
#[template(path = "admin/resets.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    now: DateTime<Utc>,
    rows: Vec<password_reset::Model>,
    is_first: bool,
    next: Option<String>,
}

#[derive(Deserialize)]
struct ResetListQuery {
    before: Option<String>,
}

/// Shows the list.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<ViewUsers>,
    view: View,
    Query(query): Query<ResetListQuery>,
) -> poem::Result<Response> {
    let before = query.before.and_then(|id| id.parse().ok());
    let limit = u64::from(PAGE_SIZE) + 1;
    let rows = password_reset::list(&app.db, Some(Purpose::Reset), None, before, limit)
        .await
        .map_err(ApiError::from)?;
    let (rows, next) = paginate(rows, PAGE_SIZE.into(), |row| row.id.to_string());
    let page = Page {
        v: view.clone(),
        me: CurrentAdmin::of(&admin),
        title: view.t.resets,
        section: "resets",
        now: app.now(),
        is_first: before.is_none(),
        next,
        rows,
    };
    view.page(StatusCode::OK, &page)
}
