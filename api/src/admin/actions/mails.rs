//! Actions on mails: preview, send one or all failed ones again, cancel.

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::Event,
        mail::{self, Filter, MailKind, MailState},
        password_reset, user,
    },
    outbox::template::{Code, Content, RenderedMail},
};
use uuid::Uuid;

use crate::admin::{
    actions::commit,
    permissions::{Mails, Permit},
};
use crate::{app_state::App, http::error::ApiError};

/// The lifetime of a code in a preview.
const PREVIEW_LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// The maximum number of mails that one action sends again.
pub const MAX_RETRIES: u64 = 500;

/// Why a mail cannot be sent again.
pub const NOT_RETRYABLE: &str = "Only a mail that was not sent can be sent again, and one with a code only until the code expires. \
                                 Read the mail to see its state.";
/// Why no mail of a filter can be sent again.
const NONE_RETRYABLE: &str =
    "No mail of this filter can be sent again. List the mails to see their states.";
/// Why a mail cannot be cancelled.
pub const NOT_CANCELLABLE: &str = "Only a queued mail can be cancelled, and not while a worker sends it. Read the mail to see its \
                                   state.";

/// Finds a mail.
pub async fn find(app: &App, id: Uuid) -> Result<mail::Model, ApiError> {
    mail::find(&app.db, id).await?.ok_or(ApiError::NotFound)
}

/// Returns whether the mail can be sent again: it is neither sent nor queued. A mail with a code must not have expired, as the
/// code expires at the same time. Other mails get a new deadline.
#[must_use]
pub fn can_retry(mail: &mail::Model, now: DateTime<Utc>) -> bool {
    let is_final = !matches!(mail.state, MailState::Sent | MailState::Queued);
    is_final && (mail.reset_id.is_none() || now < mail.deliver_before)
}

/// Queues an unsent mail again.
pub async fn retry(app: &App, admin: &Permit<Mails>, id: Uuid) -> Result<(), ApiError> {
    let (transaction, mail) = begin(app, admin, id).await?;
    if !can_retry(&mail, app.now()) || !mail::retry(&transaction, id, app.now()).await? {
        return Err(ApiError::InvalidState(NOT_RETRYABLE));
    }
    let event = state_event(admin, &mail, MailState::Queued, "sent again");
    commit(app, transaction, vec![event], Vec::new()).await
}

/// Counts the failed mails of a filter that can be sent again, up to [`MAX_RETRIES`] + 1.
pub async fn count_retryable(app: &App, filter: Filter) -> Result<usize, ApiError> {
    let mails = mail::list_retryable(&app.db, filter, app.now(), MAX_RETRIES + 1).await?;
    Ok(mails.len())
}

/// Queues the failed mails of a filter again, the newest [`MAX_RETRIES`]. Returns their number. One audit event lists them.
pub async fn retry_failed(
    app: &App,
    admin: &Permit<Mails>,
    filter: Filter,
) -> Result<usize, ApiError> {
    let transaction = database::begin(&app.db).await?;
    admin.reauthorize(app, &transaction).await?;
    let now = app.now();
    let failed = mail::list_retryable(&transaction, filter, now, MAX_RETRIES).await?;
    let ids: Vec<_> = failed.iter().map(|mail| mail.id).collect();
    let queued = mail::retry_all(&transaction, &ids, now).await?;
    let changes: Vec<_> = failed
        .iter()
        .filter(|mail| queued.contains(&mail.id))
        .map(|mail| format!("mail {}: {} → {}", mail.id, mail.state, MailState::Queued))
        .collect();
    let count = changes.len();
    if count == 0 {
        return Err(ApiError::InvalidState(NONE_RETRYABLE));
    }
    let event = Event {
        changes: Some(changes.join("\n")),
        ..admin.audit_event(None, &format!("mails sent again: {count}"))
    };
    commit(app, transaction, vec![event], Vec::new()).await?;
    Ok(count)
}

/// Cancels a queued mail, unless a worker is delivering it.
pub async fn cancel(app: &App, admin: &Permit<Mails>, id: Uuid) -> Result<(), ApiError> {
    let (transaction, mail) = begin(app, admin, id).await?;
    if !mail::cancel(&transaction, id, app.now()).await? {
        return Err(ApiError::InvalidState(NOT_CANCELLABLE));
    }
    let event = state_event(admin, &mail, MailState::Cancelled, "cancelled");
    commit(app, transaction, vec![event], Vec::new()).await
}

async fn begin(
    app: &App,
    admin: &Permit<Mails>,
    id: Uuid,
) -> Result<(Transaction, mail::Model), ApiError> {
    let transaction = database::begin(&app.db).await?;
    admin.reauthorize(app, &transaction).await?;
    let mail = mail::find(&transaction, id).await?;
    Ok((transaction, mail.ok_or(ApiError::NotFound)?))
}

/// Returns the audit event of a state change.
fn state_event(admin: &Permit<Mails>, mail: &mail::Model, to: MailState, action: &str) -> Event {
    let detail = format!("mail {} {action}", mail.id);
    let mut event = Event {
        changes: Some(format!("state: {} → {to}", mail.state)),
        ..admin.audit_event(mail.user_id, &detail)
    };
    event.details.email = Some(mail.recipient.clone());
    event
}

/// Renders the current text of a mail in the language of its account, with the code hidden. Returns `None` if what a notification is
/// about no longer exists, such as its account.
pub async fn preview(app: &App, mail: &mail::Model) -> Result<Option<RenderedMail>, ApiError> {
    let Ok(kind) = mail.kind.parse::<MailKind>() else {
        return Ok(None);
    };
    let owner = owner(app, mail).await?;
    let content = if kind.purpose().is_some() {
        Some(Content::Code {
            kind,
            code: Code::Hidden,
            at: mail.created_at,
            device: device_of(app, mail).await?,
            lifetime: PREVIEW_LIFETIME,
        })
    } else {
        Content::notice(kind, mail, owner.as_ref(), None)
    };
    let language = match owner {
        Some(owner) => owner.language,
        None => mail.locale.parse().ok(),
    };
    let common = &app.config.common;
    content
        .map(|content| {
            let templates = &common.mail_templates;
            templates.render(&content, &common.mail_branding, language.as_ref())
        })
        .transpose()
        .map_err(|error| ApiError::Internal(format!("mail template: {error}")))
}

/// Returns the browser and the system of the request that the code of a mail belongs to.
async fn device_of(app: &App, mail: &mail::Model) -> Result<Option<String>, ApiError> {
    let Some(id) = mail.reset_id else {
        return Ok(None);
    };
    let reset = password_reset::find(&app.db, id).await?;
    Ok(reset.and_then(|reset| reset.device))
}

/// Finds the account of a mail. A mail with a code names none, but the worker sends it to the account of its address only.
pub async fn owner(app: &App, mail: &mail::Model) -> Result<Option<user::Model>, ApiError> {
    if let Some(id) = mail.user_id {
        return Ok(user::find(&app.db, id).await?);
    }
    match mail.recipient.parse() {
        Ok(email) => Ok(user::find_by_email(&app.db, &email).await?),
        Err(_) => Ok(None),
    }
}
