//! `/admin/`: pending accounts, mail problems, charts and health checks.

mod chart;
mod health;

use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::models::{
    mail,
    user::{
        self,
        search::{self, Filter, MAX_COUNTED, PageRequest, Sort, SortBy},
    },
};
use poem::{Response, handler, http::StatusCode, web::Data};

use crate::admin::{
    dashboard::{
        components::capped_count,
        context::View,
        current_admin::CurrentAdmin,
        pages::overview::{chart::Chart, health::HealthRow},
    },
    permissions::{AnyStaff, Permit},
};
use crate::{app_state::App, http::error::ApiError};

/// The number of pending accounts on the page.
const MAX_PENDING: usize = 8;
/// The age from which a queued mail is late.
pub(super) const LATE_AFTER: TimeDelta = TimeDelta::minutes(5);
/// The age up to which failed and expired mails count.
const RECENT: TimeDelta = TimeDelta::days(7);
/// The maximum counts of mails and lockouts.
const MAX_MAILS: u64 = 100;
const MAX_LOCKOUTS: u8 = 100;

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    users: UserSection,
    failed_mails: String,
    expired_mails: String,
    late_mails: String,
    health: Vec<HealthRow>,
}

/// The parts of the page that need the permission to view users.
#[derive(Default)]
struct UserSection {
    pending: Vec<user::Model>,
    pending_count: String,
    /// The number of accounts that are pending verification, unless it is 0.
    pending_verification: Option<String>,
    lockouts: String,
    charts: Vec<Chart>,
}

/// Shows the page.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<AnyStaff>,
    view: View,
) -> poem::Result<Response> {
    let me = CurrentAdmin::of(&admin);
    let page = Box::pin(load(app, me, &view)).await?;
    view.page(StatusCode::OK, &page)
}

async fn load(app: &App, me: CurrentAdmin, view: &View) -> Result<Page, ApiError> {
    let now = app.now();
    let users = if me.can_view_users() {
        load_users(app, view, now).await?
    } else {
        UserSection::default()
    };
    let mails =
        mail::count_problems(&app.db, now - RECENT, now - LATE_AFTER, MAX_MAILS + 1).await?;
    Ok(Page {
        title: view.t.overview,
        section: "overview",
        users,
        failed_mails: capped_count(mails.failed, MAX_MAILS),
        expired_mails: capped_count(mails.expired, MAX_MAILS),
        late_mails: capped_count(mails.late, MAX_MAILS),
        health: Box::pin(health::check(app, view, &me, now)).await,
        v: view.clone(),
        me,
    })
}

async fn load_users(app: &App, view: &View, now: DateTime<Utc>) -> Result<UserSection, ApiError> {
    let oldest_first = Sort {
        by: SortBy::Joined,
        descending: false,
    };
    let filter = Filter::pending_approval();
    let pending = search::page(
        &app.db,
        &filter,
        oldest_first,
        &PageRequest::First,
        MAX_PENDING,
    )
    .await?;
    let unverified = search::count(&app.db, &Filter::pending_verification()).await?;
    let lockouts = app
        .limits
        .list_lockouts(now, i64::from(MAX_LOCKOUTS) + 1)
        .await?
        .len();
    Ok(UserSection {
        pending: pending.rows,
        pending_count: capped_count(pending.found, MAX_COUNTED),
        pending_verification: (unverified > 0).then(|| capped_count(unverified, MAX_COUNTED)),
        lockouts: capped_count(lockouts, MAX_LOCKOUTS.into()),
        charts: chart::load(app, view.t).await?,
    })
}
