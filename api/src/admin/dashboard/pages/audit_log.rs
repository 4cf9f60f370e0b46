//! `/admin/audit/`: the audit log and its verification.

use askama::Template;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use latchkey_shared::{
    models::{
        audit::{self, EventKind, Filter},
        user,
    },
    types::{decimal, email::Email},
};
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use serde::Deserialize;

use crate::admin::{
    actions,
    dashboard::{
        audit_event::{EventRow, Part, event_rows, kind_label},
        components::SelectOption,
        context::View,
        current_admin::CurrentAdmin,
        form_state::FormState,
        i18n::Texts,
        redirect::redirect,
    },
    paginate,
    permissions::{Audit, Permit},
};
use crate::{app_state::App, http::error::ApiError};

const PAGE_SIZE: usize = 50;

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    form: FormState,
    kinds: Vec<SelectOption>,
    query: String,
    rows: Vec<EventRow>,
    is_first: bool,
    is_filtered: bool,
    next: Option<i64>,
    verification: Option<Verification>,
}

/// The result of a verification.
struct Verification {
    is_valid: bool,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuditLogQuery {
    user: String,
    actor: String,
    event: String,
    since: String,
    until: String,
    before: String,
}

/// Shows the log.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<Audit>,
    view: View,
    Query(query): Query<AuditLogQuery>,
) -> poem::Result<Response> {
    let page = load(app, CurrentAdmin::of(&admin), &view, query, None).await?;
    let status = if page.form.is_valid() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    view.page(status, &page)
}

/// Redirects to the log, for a reload of the verification page.
#[handler]
pub fn redirect_to_list(Data(app): Data<&App>) -> Response {
    redirect(app, "/admin/audit/")
}

/// Verifies the whole hash chain and shows the result.
#[handler]
pub async fn verify(
    Data(app): Data<&App>,
    admin: Permit<Audit>,
    view: View,
) -> poem::Result<Response> {
    let t = view.t;
    let verification = match actions::audit_log::verify(app).await? {
        Ok(head) => Verification {
            is_valid: true,
            message: format!("{} {}", t.chain_valid, head.seq),
        },
        Err(error) => Verification {
            is_valid: false,
            message: format!("{} {error}", t.chain_broken),
        },
    };
    let (me, view) = (CurrentAdmin::of(&admin), view.with_path("/admin/audit/"));
    let page = load(app, me, &view, AuditLogQuery::default(), Some(verification)).await?;
    view.page(StatusCode::OK, &page)
}

async fn load(
    app: &App,
    me: CurrentAdmin,
    view: &View,
    query: AuditLogQuery,
    verification: Option<Verification>,
) -> Result<Page, ApiError> {
    let (filter, form) = query.parse(app, view.t).await?;
    let is_first = filter.before.is_none();
    // An invalid filter must not list every event.
    let rows = if form.is_valid() {
        audit::list(&app.db, filter, PAGE_SIZE as u64 + 1).await?
    } else {
        Vec::new()
    };
    let (rows, next) = paginate(rows, PAGE_SIZE, |row| row.seq);
    let kinds = EventKind::ALL.map(|kind| (kind.as_str(), kind_label(view.t, kind)));
    Ok(Page {
        title: view.t.audit,
        section: "audit",
        kinds: SelectOption::list(kinds, &query.event),
        is_filtered: !query.link().is_empty(),
        query: query.link(),
        form,
        is_first,
        next,
        rows: event_rows(app, &me, view.t, rows).await?,
        verification,
        v: view.clone(),
        me,
    })
}

impl AuditLogQuery {
    /// Returns the filter, and the form with the errors of invalid fields.
    async fn parse(&self, app: &App, t: &Texts) -> Result<(Filter, FormState), ApiError> {
        let fields = self.fields();
        let mut form = FormState::new(fields.map(|(name, value)| (name, value.to_owned())));
        let user_id = find_account(app, &self.user).await?;
        let user_id = take(user_id, &mut form, "user", t.bad_account, t);
        let actor = match self.actor.trim() {
            name @ ("operator" | "anonymous") => Some(name.to_owned()),
            text => {
                let id = find_account(app, text.trim_start_matches("user ")).await?;
                take(id, &mut form, "actor", t.bad_actor, t).map(|id| format!("user {id}"))
            }
        };
        let filter = Filter {
            user_id,
            actor,
            event: Some(self.event.trim().to_owned())
                .filter(|event| !event.is_empty() && !event.contains(char::is_control)),
            since: take(parse_day(&self.since), &mut form, "since", t.bad_day, t),
            until: take(parse_day(&self.until), &mut form, "until", t.bad_day, t)
                .and_then(|day| day.checked_add_days(Days::new(1))),
            before: self.before.parse().ok(),
        };
        Ok((filter, form))
    }

    fn fields(&self) -> [(&'static str, &str); 5] {
        [
            ("user", &self.user),
            ("actor", &self.actor),
            ("event", &self.event),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    /// Returns the query string of the filter.
    fn link(&self) -> String {
        let fields = self.fields().into_iter();
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields.filter(|(_, value)| !value.is_empty()))
            .finish()
    }
}

/// The value of a filter field.
enum FilterValue<T> {
    Empty,
    Value(T),
    Invalid,
    /// An email address without an account.
    UnknownAccount,
}

/// Returns the value of a filter field, or adds an error to the form.
fn take<T>(
    value: FilterValue<T>,
    form: &mut FormState,
    name: &str,
    invalid: &str,
    t: &Texts,
) -> Option<T> {
    match value {
        FilterValue::Value(value) => return Some(value),
        FilterValue::Empty => {}
        FilterValue::Invalid => form.add_error(name, invalid),
        FilterValue::UnknownAccount => form.add_error(name, t.no_such_account),
    }
    None
}

/// Finds an account id by id or email address.
async fn find_account(app: &App, text: &str) -> Result<FilterValue<i64>, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(FilterValue::Empty);
    }
    if let Ok(id) = text.parse() {
        return Ok(FilterValue::Value(id));
    }
    let Ok(email) = text.parse::<Email>() else {
        return Ok(FilterValue::Invalid);
    };
    let user = user::find_by_email(&app.db, &email).await?;
    Ok(user.map_or(FilterValue::UnknownAccount, |user| {
        FilterValue::Value(user.id)
    }))
}

/// Parses a date into its start, in UTC.
fn parse_day(text: &str) -> FilterValue<DateTime<Utc>> {
    let text = text.trim();
    if text.is_empty() {
        return FilterValue::Empty;
    }
    decimal::to_ascii(text)
        .parse::<NaiveDate>()
        .map_or(FilterValue::Invalid, |day| {
            FilterValue::Value(day.and_time(NaiveTime::MIN).and_utc())
        })
}
