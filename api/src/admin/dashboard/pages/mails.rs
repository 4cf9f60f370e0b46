//! `/admin/mails/`: what was sent, what waits, what failed and why; sending again, cancelling.

use std::str::FromStr as _;

use askama::Template;
use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::Event,
        mail::{self, Filter, MailKind, MailState},
        user,
    },
    outbox::template::{Code, Content, MailBranding, RenderedMail},
    types::email::Email,
};
use poem::{
    Response, handler,
    http::StatusCode,
    web::{Data, Path, Query},
};
use serde::Deserialize;
use uuid::Uuid;

use crate::admin::{
    actions::{event, finish},
    dashboard::{
        context::{CurrentAdmin, View, back},
        csrf::Form,
        pages::{overview, users::Item},
    },
    permissions::{Mails, Permit},
};
use crate::{app_state::App, http::error::ApiError};

/// How many a page has.
const SIZE: usize = 50;

/// In the address: made so long ago that it should have been sent.
const LATE: &str = "late";

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
struct List {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    to: String,
    states: Vec<Item>,
    kinds: Vec<Item>,
    times: Vec<Item>,
    query: String,
    rows: Vec<mail::Model>,
    first: bool,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "admin/mail.html")]
struct One {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    mail: mail::Model,
    waits: bool,
    can_retry: bool,
    text: Option<RenderedMail>,
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

/// The list.
#[handler]
pub async fn list(
    Data(app): Data<&App>,
    admin: Permit<Mails>,
    view: View,
    Query(asked): Query<MailListQuery>,
) -> poem::Result<Response> {
    let to = asked.to.trim();
    let recipient = (!to.is_empty()).then(|| to.parse::<Email>()).transpose();
    // No mail goes to what is no address.
    let is_nobody = recipient.is_err();
    let filter = Filter {
        state: asked.state.parse().ok(),
        kind: asked.kind.parse().ok(),
        recipient: recipient.ok().flatten().map(|to| to.key()),
        since: days(&asked.made).map(|days| app.now() - days),
        until: (asked.made == LATE).then(|| app.now() - overview::LATE),
        before: asked.before.parse().ok(),
    };
    let first = filter.before.is_none();
    let mut rows = if is_nobody {
        Vec::new()
    } else {
        let rows = mail::list(&app.db, filter, SIZE as u64 + 1).await;
        rows.map_err(ApiError::from)?
    };
    let more = rows.len() > SIZE;
    rows.truncate(SIZE);
    let page = List {
        title: view.t.mails,
        section: "mails",
        states: STATES
            .iter()
            .map(|state| Item {
                value: state.to_string(),
                label: view.t.mail_state(state).to_owned(),
                chosen: state.to_string() == asked.state,
            })
            .collect(),
        kinds: MailKind::ALL
            .iter()
            .map(|kind| Item {
                value: kind.as_str().to_owned(),
                label: view.t.mail_kind(kind.as_str()).to_owned(),
                chosen: kind.as_str() == asked.kind,
            })
            .collect(),
        times: [
            ("1", view.t.joined_1),
            ("7", view.t.joined_7),
            ("30", view.t.joined_30),
            (LATE, view.t.made_late),
        ]
        .into_iter()
        .map(|(value, label)| Item {
            value: value.to_owned(),
            label: label.to_owned(),
            chosen: value == asked.made,
        })
        .collect(),
        query: form_urlencoded::Serializer::new(String::new())
            .append_pair("to", &asked.to)
            .append_pair("state", &asked.state)
            .append_pair("kind", &asked.kind)
            .append_pair("made", &asked.made)
            .finish(),
        to: asked.to,
        first,
        next: rows.last().filter(|_| more).map(|row| row.id.to_string()),
        rows,
        v: view.clone(),
        me: CurrentAdmin::of(&admin),
    };
    view.page(StatusCode::OK, &page)
}

/// A number of days.
fn days(text: &str) -> Option<TimeDelta> {
    let days = text.parse().ok().filter(|days| (1..=36_500).contains(days));
    days.map(TimeDelta::days)
}

/// One mail, with its text as it would look.
#[handler]
pub async fn show(
    Data(app): Data<&App>,
    admin: Permit<Mails>,
    view: View,
    Path(id): Path<Uuid>,
) -> poem::Result<Response> {
    let mail = find(app, id).await?;
    let page = One {
        title: view.t.mail_kind(&mail.kind),
        section: "mails",
        text: preview(app, &mail).await?,
        waits: mail.state == MailState::Queued,
        can_retry: can_retry(&mail, app.now()),
        mail,
        v: view.clone(),
        me: CurrentAdmin::of(&admin),
    };
    view.page(StatusCode::OK, &page)
}

/// Sends it again, or cancels it.
#[handler]
pub async fn act(
    Data(app): Data<&App>,
    admin: Permit<Mails>,
    Path(id): Path<Uuid>,
    form: Form,
) -> poem::Result<Response> {
    let done = match form.text("act").as_str() {
        "retry" => {
            retry(app, &admin, id).await?;
            "retried"
        }
        "cancel" => {
            cancel(app, &admin, id).await?;
            "cancelled"
        }
        _ => return Err(ApiError::NotFound.into()),
    };
    Ok(back(app, &format!("/admin/mails/{id}/"), done, 1))
}

/// The mail with this id.
///
/// # Errors
/// When there is none.
pub async fn find(app: &App, id: Uuid) -> Result<mail::Model, ApiError> {
    mail::find(&app.db, id).await?.ok_or(ApiError::NotFound)
}

/// Whether it can be sent again: it ended without, and is still worth it.
#[must_use]
pub fn can_retry(mail: &mail::Model, now: DateTime<Utc>) -> bool {
    let has_ended = !matches!(mail.state, MailState::Sent | MailState::Queued);
    // A notice gets another day; a code ends with its reset.
    has_ended && (mail.reset_id.is_none() || now < mail.deliver_before)
}

/// Queues a mail anew that was not sent.
///
/// # Errors
/// When there is none, or it was sent or waits already.
pub async fn retry(app: &App, admin: &Permit<Mails>, id: Uuid) -> Result<(), ApiError> {
    let (transaction, mail) = begin(app, admin, id).await?;
    if !can_retry(&mail, app.now()) || !mail::retry(&transaction, id, app.now()).await? {
        return Err(ApiError::InvalidState);
    }
    let noted = moved(admin, &mail, MailState::Queued, "sent again");
    finish(app, transaction, vec![noted], Vec::new()).await
}

/// Ends a mail that waits.
///
/// # Errors
/// When there is none, or it does not wait or is being sent just now.
pub async fn cancel(app: &App, admin: &Permit<Mails>, id: Uuid) -> Result<(), ApiError> {
    let (transaction, mail) = begin(app, admin, id).await?;
    if !mail::cancel(&transaction, id, app.now()).await? {
        return Err(ApiError::InvalidState);
    }
    let noted = moved(admin, &mail, MailState::Cancelled, "cancelled");
    finish(app, transaction, vec![noted], Vec::new()).await
}

/// The transaction of an act, in which the administrator still may do it, and the mail as it is in it.
async fn begin(
    app: &App,
    admin: &Permit<Mails>,
    id: Uuid,
) -> Result<(Transaction, mail::Model), ApiError> {
    let transaction = database::begin(&app.db).await?;
    admin.reauthorize(app, &transaction).await?;
    let mail = mail::find(&transaction, id)
        .await?
        .ok_or(ApiError::NotFound)?;
    Ok((transaction, mail))
}

/// What the audit log says of a mail whose state an administrator changes.
fn moved(admin: &Permit<Mails>, mail: &mail::Model, to: MailState, what: &str) -> Event {
    Event {
        changes: Some(format!("state: {} → {to}", mail.state)),
        ..event(admin, mail.user_id, &format!("mail {} {what}", mail.id))
    }
}

/// Its text as it would look now, without a code; nothing when it is about an account that is gone.
///
/// # Errors
/// When the database fails.
pub async fn preview(app: &App, mail: &mail::Model) -> Result<Option<RenderedMail>, ApiError> {
    let Ok(kind) = MailKind::from_str(&mail.kind) else {
        return Ok(None);
    };
    let content = if let Some(purpose) = kind.purpose() {
        Some(Content::Code {
            code: Code::Hidden,
            purpose,
            lifetime: TimeDelta::minutes(5),
        })
    } else {
        let user = match mail.user_id {
            Some(id) => user::find(&app.db, id).await?,
            None => None,
        };
        user.and_then(|_| Content::notice(kind, mail))
    };
    let head = MailBranding::of(&app.config.common);
    content
        .map(|content| content.write(&head))
        .transpose()
        .map_err(|error| ApiError::Internal(format!("a text: {error}")))
}
