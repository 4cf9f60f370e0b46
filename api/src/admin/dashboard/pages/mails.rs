//! `/admin/mails/`: the list of mails, and one mail with its actions.

use askama::Template;
use chrono::TimeDelta;
use latchkey_shared::{
    models::{
        mail::{self, Filter, MailKind, MailState},
        user,
    },
    outbox::template::RenderedMail,
    types::email::Email,
};
use poem::{
    Response, handler,
    http::{StatusCode, header},
    web::{Data, Path, Query},
};
use serde::Deserialize;
use uuid::Uuid;

use crate::admin::{
    actions::mails,
    dashboard::{
        components::{SelectOption, capped_count},
        context::View,
        csrf::Form,
        current_admin::CurrentAdmin,
        i18n::Texts,
        pages::overview::LATE_AFTER,
        redirect::{redirect, redirect_with_flash},
    },
    paginate,
    permissions::{Mails, Permit},
};
use crate::{app_state::App, http::error::ApiError};

const PAGE_SIZE: usize = 50;

/// The value of `made` for mails that are older than [`LATE_AFTER`].
const LATE: &str = "late";

/// The Content-Security-Policy of a preview: its template may come from `MAIL_TEMPLATES_DIR`, so it runs no script, opens no link and
/// loads nothing.
const PREVIEW_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox";

const STATES: [MailState; 6] = [
    MailState::Queued,
    MailState::Sent,
    MailState::Failed,
    MailState::Expired,
    MailState::Cancelled,
    MailState::Suppressed,
];

#[derive(Template)]
#[template(path = "admin/mails.html")]
struct ListPage {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    to: String,
    states: Vec<SelectOption>,
    kinds: Vec<SelectOption>,
    times: Vec<SelectOption>,
    query: String,
    is_filtered: bool,
    /// Whether the list shows failed mails only.
    is_failed: bool,
    kind: String,
    made: String,
    rows: Vec<mail::Model>,
    is_first: bool,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "admin/mail.html")]
struct MailPage {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    mail: mail::Model,
    /// The account of the mail. `None` without the permission to view accounts.
    owner: Option<user::Model>,
    is_queued: bool,
    can_retry: bool,
    preview: Option<RenderedMail>,
}

/// The confirmation before failed mails are sent again.
#[derive(Template)]
#[template(path = "admin/retry_mails.html")]
struct RetryPage {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    query: MailListQuery,
    count: String,
    /// Whether there are more mails than one action sends.
    is_capped: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MailListQuery {
    to: String,
    state: String,
    kind: String,
    made: String,
    before: String,
}

/// Shows the list.
#[handler]
pub async fn list(
    Data(app): Data<&App>,
    admin: Permit<Mails>,
    view: View,
    Query(query): Query<MailListQuery>,
) -> poem::Result<Response> {
    let rows = match query.filter(app) {
        Some(filter) => mail::list(&app.db, filter, PAGE_SIZE as u64 + 1)
            .await
            .map_err(ApiError::from)?,
        None => Vec::new(),
    };
    let (rows, next) = paginate(rows, PAGE_SIZE, |row| row.id.to_string());
    let page = ListPage {
        title: view.t.mails,
        section: "mails",
        states: query.states(view.t),
        kinds: query.kinds(view.t),
        times: query.times(view.t),
        query: query.link(),
        is_filtered: query.link() != MailListQuery::default().link(),
        is_first: query.before.parse::<Uuid>().is_err(),
        is_failed: query.state.parse() == Ok(MailState::Failed),
        to: query.to,
        kind: query.kind,
        made: query.made,
        next,
        rows,
        v: view.clone(),
        me: CurrentAdmin::of(&admin),
    };
    view.page(StatusCode::OK, &page)
}

impl MailListQuery {
    /// Returns the filter, or `None` if `to` is not an email address and so matches no mail.
    fn filter(&self, app: &App) -> Option<Filter> {
        let recipient = match self.to.trim() {
            "" => None,
            to => Some(to.parse::<Email>().ok()?.key()),
        };
        let days = self.made.parse().ok();
        let days = days.filter(|days| (1..=36_500).contains(days));
        Some(Filter {
            state: self.state.parse().ok(),
            kind: self.kind.parse().ok(),
            recipient,
            since: days.map(|days| app.now() - TimeDelta::days(days)),
            until: (self.made == LATE).then(|| app.now() - LATE_AFTER),
            before: self.before.parse().ok(),
        })
    }

    fn states(&self, t: &Texts) -> Vec<SelectOption> {
        let states = STATES.map(|state| (state.to_string(), t.mail_state(&state)));
        let options = states.iter().map(|(value, label)| (value.as_str(), *label));
        SelectOption::list(options, &self.state)
    }

    fn kinds(&self, t: &Texts) -> Vec<SelectOption> {
        let names = MailKind::ALL.iter().map(|kind| kind.as_str());
        SelectOption::list(names.map(|name| (name, t.mail_kind(name))), &self.kind)
    }

    fn times(&self, t: &Texts) -> Vec<SelectOption> {
        let times = [
            ("1", t.joined_1),
            ("7", t.joined_7),
            ("30", t.joined_30),
            (LATE, t.created_late),
        ];
        SelectOption::list(times, &self.made)
    }

    /// Returns the query string of the filter.
    fn link(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("to", &self.to)
            .append_pair("state", &self.state)
            .append_pair("kind", &self.kind)
            .append_pair("made", &self.made)
            .finish()
    }
}

/// Redirects to the list, for a reload of the confirmation page.
#[handler]
pub fn redirect_to_list(Data(app): Data<&App>) -> Response {
    redirect(app, "/admin/mails/")
}

/// Sends the failed mails of a filter again, after a confirmation.
#[handler]
pub async fn retry_failed(
    Data(app): Data<&App>,
    admin: Permit<Mails>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let query = MailListQuery {
        to: form.text("to"),
        state: MailState::Failed.to_string(),
        kind: form.text("kind"),
        made: form.text("made"),
        before: String::new(),
    };
    let target = format!("/admin/mails/?{}", query.link());
    let filter = query.filter(app).ok_or(ApiError::InvalidState(""))?;
    if form.is_checked("confirmed") {
        let count = mails::retry_failed(app, &admin, filter).await?;
        return Ok(redirect_with_flash(app, &target, "mails_queued", count));
    }
    let count = mails::count_retryable(app, filter).await? as u64;
    let page = RetryPage {
        title: view.t.retry_failed,
        section: "mails",
        query,
        count: capped_count(count, mails::MAX_RETRIES),
        is_capped: count > mails::MAX_RETRIES,
        v: view.with_path(&target),
        me: CurrentAdmin::of(&admin),
    };
    view.page(StatusCode::OK, &page)
}

/// Shows a mail with a preview of both parts.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<Mails>,
    view: View,
    Path(id): Path<Uuid>,
) -> poem::Result<Response> {
    let mail = mails::find(app, id).await?;
    let me = CurrentAdmin::of(&admin);
    let page = MailPage {
        title: view.t.mail_kind(&mail.kind),
        section: "mails",
        preview: mails::preview(app, &mail).await?,
        owner: if me.can_view_users() {
            mails::owner(app, &mail).await?
        } else {
            None
        },
        is_queued: mail.state == MailState::Queued,
        can_retry: mails::can_retry(&mail, app.now()),
        mail,
        v: view.clone(),
        me,
    };
    view.page(StatusCode::OK, &page)
}

/// Shows the HTML part of a mail, for the frame of its page.
#[handler]
pub async fn show_preview(
    Data(app): Data<&App>,
    _admin: Permit<Mails>,
    Path(id): Path<Uuid>,
) -> poem::Result<Response> {
    let mail = mails::find(app, id).await?;
    let preview = mails::preview(app, &mail).await?;
    let html = preview.ok_or(ApiError::NotFound)?.standalone_html();
    Ok(Response::builder()
        .content_type("text/html; charset=utf-8")
        .header(header::CONTENT_SECURITY_POLICY, PREVIEW_POLICY)
        .header(header::X_FRAME_OPTIONS, "SAMEORIGIN")
        .body(html))
}

/// Sends a mail again or cancels it.
#[handler]
pub async fn change(
    Data(app): Data<&App>,
    admin: Permit<Mails>,
    Path(id): Path<Uuid>,
    form: Form,
) -> poem::Result<Response> {
    let flash = match form.text("act").as_str() {
        "retry" => {
            mails::retry(app, &admin, id).await?;
            "mail_queued"
        }
        "cancel" => {
            mails::cancel(app, &admin, id).await?;
            "mail_cancelled"
        }
        _ => return Err(ApiError::NotFound.into()),
    };
    let target = format!("/admin/mails/{id}/");
    Ok(redirect_with_flash(app, &target, flash, 1))
}
