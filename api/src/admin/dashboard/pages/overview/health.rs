//! The health checks on the overview.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    health::OK,
    models::mail::{
        self,
        delivery_health::{self, DeliveryHealth, DeliveryProblem, FailureCause},
    },
};

use crate::admin::dashboard::{
    context::View,
    current_admin::CurrentAdmin,
    i18n::Texts,
    pages::overview::{LATE_AFTER, RECENT},
};
use crate::{app_state::App, http::error::ApiError};

/// The state of one dependency.
pub(super) struct HealthRow {
    pub name: &'static str,
    pub is_ok: bool,
    pub message: String,
    /// The time that the message ends with.
    pub at: Option<DateTime<Utc>>,
}

/// Checks all dependencies.
pub(super) async fn check(
    app: &App,
    view: &View,
    me: &CurrentAdmin,
    now: DateTime<Utc>,
) -> Vec<HealthRow> {
    let t = view.t;
    let (states, workers, smtp) = tokio::join!(
        app.health.ask(app),
        app.outbox.workers(),
        check_smtp(app, view, me, now),
    );
    let dependency = |name, state| HealthRow {
        name,
        is_ok: state == OK,
        message: match state {
            OK => t.available.to_owned(),
            // The word of the health endpoint and the metrics.
            state => format!("{} ({state})", t.degraded),
        },
        at: None,
    };
    let workers = workers.unwrap_or(0);
    vec![
        dependency(t.database, states.database),
        dependency(t.redis, states.redis),
        dependency(t.media, states.media),
        HealthRow {
            name: t.workers,
            is_ok: workers > 0,
            message: match workers {
                0 => t.workers_none.to_owned(),
                workers => workers.to_string(),
            },
            at: None,
        },
        smtp,
    ]
}

/// Derives the state of the SMTP server from the mails, as only workers connect to it.
async fn check_smtp(app: &App, view: &View, me: &CurrentAdmin, now: DateTime<Utc>) -> HealthRow {
    let (t, mut accepted_at) = (view.t, None);
    let (is_ok, message) = match load_delivery(app, now).await {
        Ok(Delivery::Attempted(DeliveryHealth::Failing(problem))) => {
            (false, describe_problem(t, me, &problem))
        }
        Ok(Delivery::NotAttempted) => (false, t.smtp_not_attempted.to_owned()),
        Ok(Delivery::Attempted(DeliveryHealth::OneRefused)) => {
            (true, t.smtp_one_rejected.to_owned())
        }
        Ok(Delivery::Attempted(DeliveryHealth::Accepted(at))) => {
            accepted_at = Some(at);
            (true, t.smtp_last_accepted.to_owned())
        }
        Ok(Delivery::Attempted(DeliveryHealth::Idle)) => (true, t.smtp_idle.to_owned()),
        Err(_) => (false, t.unavailable.to_owned()),
    };
    HealthRow {
        name: t.smtp,
        is_ok,
        message,
        at: accepted_at,
    }
}

/// Describes a delivery problem. Only staff who may view mails see the response of the SMTP server.
fn describe_problem(t: &Texts, me: &CurrentAdmin, problem: &DeliveryProblem) -> String {
    let is_rejection = matches!(
        problem.cause,
        FailureCause::Recipient | FailureCause::Refusal
    );
    match (is_rejection, me.can_view_mails()) {
        (true, true) => format!("{} {}", t.smtp_rejecting, problem.message),
        (true, false) => t.smtp_rejecting_short.to_owned(),
        (false, true) => format!("{} {}", t.smtp_failing, problem.message),
        (false, false) => t.smtp_failing_short.to_owned(),
    }
}

/// The state of mail delivery.
enum Delivery {
    /// The result of the latest attempts.
    Attempted(DeliveryHealth),
    /// Mails are late, although no attempt failed.
    NotAttempted,
}

async fn load_delivery(app: &App, now: DateTime<Utc>) -> Result<Delivery, ApiError> {
    let health = delivery_health::check(&app.db, now).await?;
    if matches!(health, DeliveryHealth::Accepted(_) | DeliveryHealth::Idle) {
        let mails = mail::count_problems(&app.db, now - RECENT, now - LATE_AFTER, 1).await?;
        if mails.late > 0 {
            return Ok(Delivery::NotAttempted);
        }
    }
    Ok(Delivery::Attempted(health))
}
