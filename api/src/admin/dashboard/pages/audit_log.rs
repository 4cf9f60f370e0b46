//! `/admin/audit/`: the audit log, and whether its chain is whole.

use askama::Template;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use latchkey_shared::{
    models::{
        audit::{self, EventKind, Filter},
        user::{self, staff},
    },
    types::email::Email,
};
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Query},
};
use serde::Deserialize;

use crate::admin::{
    dashboard::{
        context::{CurrentAdmin, View, go},
        form_state::FormState,
        i18n::Texts,
        pages::users::Item,
    },
    permissions::{Audit, Permit},
};
use crate::{app_state::App, http::error::ApiError};

/// How many a page has.
const SIZE: usize = 50;

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    form: FormState,
    kinds: Vec<Item>,
    query: String,
    rows: Vec<Line>,
    first: bool,
    next: Option<i64>,
    verified: Option<Verified>,
}

/// One event, with the accounts in it that are still there.
pub(super) struct Line {
    pub event: audit::Model,
    pub actor: Option<user::Model>,
    pub account: Option<user::Model>,
}

/// What came of reading the whole chain.
struct Verified {
    whole: bool,
    says: String,
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

/// The list.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<Audit>,
    view: View,
    Query(asked): Query<AuditLogQuery>,
) -> poem::Result<Response> {
    let page = collect(app, CurrentAdmin::of(&admin), &view, asked, None).await?;
    let status = if page.form.is_good() {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    view.page(status, &page)
}

/// Whoever loads anew what that was said at.
#[handler]
pub fn redirect_to_list(Data(app): Data<&App>) -> Response {
    go(app, "/admin/audit/")
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
    let me = CurrentAdmin::of(&admin);
    let view = view.at("/admin/audit/");
    let page = collect(app, me, &view, AuditLogQuery::default(), Some(verified)).await?;
    view.page(StatusCode::OK, &page)
}

/// Reads the whole chain, which is much work: nobody else does at the same time.
///
/// # Errors
/// When somebody does, or the database fails.
pub async fn verify_alone(app: &App) -> Result<Result<audit::Head, audit::ChainError>, ApiError> {
    let _turn = app.verifying.try_acquire().map_err(|_| ApiError::Busy)?;
    match audit::verify(&app.db, &app.audit_key, None).await {
        Err(audit::ChainError::Database(error)) => Err(error.into()),
        verified => Ok(verified),
    }
}

async fn collect(
    app: &App,
    me: CurrentAdmin,
    view: &View,
    asked: AuditLogQuery,
    verified: Option<Verified>,
) -> Result<Page, ApiError> {
    let (filter, form) = parse(app, view.t, &asked).await?;
    let first = filter.before.is_none();
    // What is not understood is no filter that lets everything through.
    let mut rows = if form.is_good() {
        audit::list(&app.db, filter, SIZE as u64 + 1).await?
    } else {
        Vec::new()
    };
    let more = rows.len() > SIZE;
    rows.truncate(SIZE);
    let next = rows.last().filter(|_| more).map(|row| row.seq);
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
        query: asked.link(),
        form,
        first,
        next,
        rows: lines(app, &me, rows).await?,
        verified,
        v: view.clone(),
        me,
    })
}

/// The filter that is asked for, and its form with what of it is not understood.
async fn parse(
    app: &App,
    t: &Texts,
    asked: &AuditLogQuery,
) -> Result<(Filter, FormState), ApiError> {
    let fields = asked.fields();
    let mut form = FormState::with(fields.map(|(name, value)| (name, value.to_owned())));
    let user = form.note("user", account(app, &asked.user).await?, t.bad_account, t);
    let mut actor = None;
    match asked.actor.trim() {
        known @ ("operator" | "anonymous") => actor = Some(known.to_owned()),
        text => {
            let id = account(app, text.trim_start_matches("user ")).await?;
            if let Some(id) = form.note("actor", id, t.bad_actor, t) {
                actor = Some(format!("user {id}"));
            }
        }
    }
    let filter = Filter {
        user_id: user,
        actor,
        event: Some(asked.event.trim().to_owned())
            .filter(|event| !event.is_empty() && !event.contains(char::is_control)),
        since: form.note("since", day(&asked.since), t.bad_day, t),
        until: form
            .note("until", day(&asked.until), t.bad_day, t)
            .and_then(|day| day.checked_add_days(Days::new(1))),
        before: asked.before.parse().ok(),
    };
    Ok((filter, form))
}

/// An account by its id or its address.
async fn account(app: &App, text: &str) -> Result<Read<i64>, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Read::Nothing);
    }
    if let Ok(id) = text.parse() {
        return Ok(Read::Value(id));
    }
    let Ok(email) = text.parse::<Email>() else {
        return Ok(Read::InvalidField);
    };
    let user = user::find_by_email(&app.db, &email).await?;
    Ok(user.map_or(Read::Unknown, |user| Read::Value(user.id)))
}

/// The beginning of a day.
fn day(text: &str) -> Read<DateTime<Utc>> {
    let text = text.trim();
    if text.is_empty() {
        return Read::Nothing;
    }
    text.parse::<NaiveDate>().map_or(Read::InvalidField, |day| {
        Read::Value(day.and_time(NaiveTime::MIN).and_utc())
    })
}

/// What a field of the filter says.
enum Read<T> {
    Nothing,
    Value(T),
    InvalidField,
    /// An address that nobody has.
    Unknown,
}

impl FormState {
    fn note<T>(&mut self, name: &str, read: Read<T>, bad: &str, t: &Texts) -> Option<T> {
        match read {
            Read::Value(value) => return Some(value),
            Read::Nothing => {}
            Read::InvalidField => self.object(name, bad),
            Read::Unknown => self.object(name, t.no_such_account),
        }
        None
    }
}

impl AuditLogQuery {
    fn fields(&self) -> [(&'static str, &str); 5] {
        [
            ("user", &self.user),
            ("actor", &self.actor),
            ("event", &self.event),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    /// The filter for a link.
    fn link(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.fields() {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}

/// Events with the names of the accounts in them, for those who may see accounts.
///
/// # Errors
/// When the database fails.
pub(super) async fn lines(
    app: &App,
    me: &CurrentAdmin,
    events: Vec<audit::Model>,
) -> Result<Vec<Line>, ApiError> {
    let actor = |event: &audit::Model| event.actor.strip_prefix("user ")?.parse::<i64>().ok();
    let mut ids: Vec<_> = events
        .iter()
        .flat_map(|event| [actor(event), event.user_id])
        .flatten()
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let mut users = Vec::new();
    if me.sees_users() {
        users = staff::find_all(&app.db, &ids).await?;
    }
    let find = |id: Option<i64>| {
        let found = users.iter().find(|user| Some(user.id) == id)?;
        Some(found.clone())
    };
    Ok(events
        .into_iter()
        .map(|event| Line {
            actor: find(actor(&event)),
            account: find(event.user_id),
            event,
        })
        .collect())
}
