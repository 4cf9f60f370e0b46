//! `/admin/`: what needs attention first.

pub mod chart;

use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    health::OK,
    models::{
        audit::EventKind,
        mail::{
            self,
            delivery_health::{self, DeliveryHealth, DeliveryProblem, FailureCause},
        },
        user::{self, search},
    },
};
use poem::{Response, handler, http::StatusCode, web::Data};

use crate::admin::{
    dashboard::{
        context::{CurrentAdmin, View},
        i18n::Texts,
        pages::overview::chart::Chart,
    },
    permissions::{AnyStaff, Permit},
};
use crate::{app_state::App, http::error::ApiError};

/// How many of those who wait are shown.
const SHOWN: usize = 8;
/// How long a mail may wait before somebody should look.
pub(super) const LATE: TimeDelta = TimeDelta::minutes(5);
/// How far back mails that failed are counted.
const RECENT: TimeDelta = TimeDelta::days(7);
/// Nobody counts further.
const MAX_ROWS: u64 = 100;

#[derive(Template)]
#[template(path = "admin/home.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    waiting: Vec<user::Model>,
    waiting_count: String,
    /// How many wait for nobody here, if any do.
    pending_verification: Option<String>,
    failed_mails: String,
    expired_mails: String,
    late_mails: String,
    held: String,
    charts: Vec<Chart>,
    health: Vec<HealthRow>,
}

/// One thing that everything stands on.
struct HealthRow {
    name: &'static str,
    ok: bool,
    says: String,
}

/// The page.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<AnyStaff>,
    view: View,
) -> poem::Result<Response> {
    let me = CurrentAdmin::of(&admin);
    let page = Box::pin(collect(app, me, &view)).await?;
    view.page(StatusCode::OK, &page)
}

async fn collect(app: &App, me: CurrentAdmin, view: &View) -> Result<Page, ApiError> {
    let now = app.now();
    let (mut rows, mut count, mut owners, mut held, mut charts) = (Vec::new(), 0, 0, 0, Vec::new());
    if me.sees_users() {
        // Whoever waits the longest comes first.
        let sort = search::Sort {
            by: search::SortBy::Joined,
            descending: false,
        };
        let (waiting, first) = (
            search::Filter::pending_approval(),
            search::PageRequest::First,
        );
        let page = search::page(&app.db, &waiting, sort, &first, SHOWN).await?;
        (rows, count) = (page.rows, page.found);
        owners = search::count(&app.db, &search::Filter::pending_verification()).await?;
        held = app.limits.held(now, 101).await?.len();
        charts = vec![
            chart::of(app, view.t, EventKind::UserCreated, view.t.sign_ups).await?,
            chart::of(app, view.t, EventKind::LoginSuccess, view.t.logins).await?,
        ];
    }
    let troubled = mail::count_problems(&app.db, now - RECENT, now - LATE, MAX_ROWS + 1).await?;
    Ok(Page {
        title: view.t.home,
        section: "home",
        waiting: rows,
        waiting_count: capped_count(count, search::MOST_COUNTED),
        pending_verification: (owners > 0).then(|| capped_count(owners, search::MOST_COUNTED)),
        failed_mails: capped_count(troubled.failed, MAX_ROWS),
        expired_mails: capped_count(troubled.expired, MAX_ROWS),
        late_mails: capped_count(troubled.late, MAX_ROWS),
        held: capped_count(held, 100),
        charts,
        health: Box::pin(health(app, view, &me, now)).await,
        v: view.clone(),
        me,
    })
}

/// A number, or that it is larger.
pub(super) fn capped_count<T: Copy + PartialOrd + std::fmt::Display>(count: T, most: T) -> String {
    if count > most {
        format!("{most}+")
    } else {
        count.to_string()
    }
}

async fn health(app: &App, view: &View, me: &CurrentAdmin, now: DateTime<Utc>) -> Vec<HealthRow> {
    let t = view.t;
    let (states, workers, smtp) = tokio::join!(
        app.health.ask(app),
        app.outbox.workers(),
        smtp(app, view, me, now),
    );
    let part = |name, says| HealthRow {
        name,
        ok: says == OK,
        says: match says {
            OK => t.works.to_owned(),
            // The word that health checks and metrics use, too.
            word => format!("{} ({word})", t.degraded),
        },
    };
    let workers = workers.unwrap_or(0);
    vec![
        part(t.database, states.database),
        part(t.redis, states.redis),
        part(t.media, states.media),
        HealthRow {
            name: t.workers,
            ok: workers > 0,
            says: if workers > 0 {
                workers.to_string()
            } else {
                t.workers_none.to_owned()
            },
        },
        smtp,
    ]
}

/// The API speaks no SMTP; how that is, the mails tell.
async fn smtp(app: &App, view: &View, me: &CurrentAdmin, now: DateTime<Utc>) -> HealthRow {
    let t = view.t;
    let (ok, says) = match delivery(app, now).await {
        Ok(Delivery::Tried(DeliveryHealth::Failing(problem))) => (false, describe(t, me, &problem)),
        Ok(Delivery::Waiting) => (false, t.smtp_waits.to_owned()),
        Ok(Delivery::Tried(DeliveryHealth::OneRefused)) => (true, t.smtp_one_refused.to_owned()),
        Ok(Delivery::Tried(DeliveryHealth::Accepted(at))) => (
            true,
            format!("{} {}", t.smtp_last, at.format("%Y-%m-%d %H:%M")),
        ),
        Ok(Delivery::Tried(DeliveryHealth::Idle)) => (true, t.smtp_idle.to_owned()),
        Err(_) => (false, t.down.to_owned()),
    };
    HealthRow {
        name: t.smtp,
        ok,
        says,
    }
}

/// The server's words are for staff who see mails.
fn describe(t: &Texts, me: &CurrentAdmin, problem: &DeliveryProblem) -> String {
    let is_refusal = matches!(
        problem.cause,
        FailureCause::Recipient | FailureCause::Refusal
    );
    match (is_refusal, me.sees_mails()) {
        (true, true) => format!("{} {}", t.smtp_refuses, problem.message),
        (true, false) => t.smtp_refuses_short.to_owned(),
        (false, true) => format!("{} {}", t.smtp_stuck, problem.message),
        (false, false) => t.smtp_stuck_short.to_owned(),
    }
}

/// How mails fare.
enum Delivery {
    /// What the last attempts tell.
    Tried(DeliveryHealth),
    /// Some wait for long, and no attempt has failed.
    Waiting,
}

async fn delivery(app: &App, now: DateTime<Utc>) -> Result<Delivery, ApiError> {
    let health = delivery_health::check(&app.db, now).await?;
    if matches!(health, DeliveryHealth::Accepted(_) | DeliveryHealth::Idle) {
        let troubled = mail::count_problems(&app.db, now - RECENT, now - LATE, 1).await?;
        if troubled.late > 0 {
            return Ok(Delivery::Waiting);
        }
    }
    Ok(Delivery::Tried(health))
}
