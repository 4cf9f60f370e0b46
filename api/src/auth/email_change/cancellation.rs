//! The link that cancels a requested change of an email.

use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        mail::MailKind,
        password_reset::{self, Model as Request, Purpose, Stage},
        user,
    },
    types::email::Email,
};
use uuid::Uuid;

use crate::{
    app_state::App,
    http::{audit_context::AuditContext, error::ApiError},
};

/// What has become of a requested change of an account's email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeState {
    /// It waits for its code.
    Open,
    /// The owner of the new email has entered the code.
    Completed,
    /// It was cancelled, or its code has expired.
    Ended,
    /// The request is no longer stored.
    Unknown,
}

/// Returns what has become of a requested change. `id` is the request whose notice has the link.
pub async fn state(app: &App, id: Uuid) -> Result<ChangeState, ApiError> {
    let request = password_reset::find(&app.db, id).await?;
    let request = request.filter(|it| it.purpose == Purpose::EmailChange);
    let Some(request) = request else {
        return Ok(ChangeState::Unknown);
    };
    let (Some(user_id), Some(email)) = (request.user_id, &request.new_email) else {
        return Ok(ChangeState::Unknown);
    };
    let user = user::find(&app.db, user_id).await?;
    let has_changed = user.is_none_or(|user| has_changed_since(&user, &request));
    let now = app.now();
    // With those for further codes.
    let requests = password_reset::list_email_changes(&app.db, user_id, id).await?;
    let is_of_email = |it: &Request| it.new_email.as_ref().map(Email::key) == Some(email.key());
    Ok(
        if !has_changed && requests.iter().any(|it| it.is_open(now)) {
            ChangeState::Open
        } else if requests
            .iter()
            .any(|it| is_of_email(it) && it.stage(now) == Stage::Used)
        {
            ChangeState::Completed
        } else {
            ChangeState::Ended
        },
    )
}

/// Returns whether the email of an account has changed since a request. The link in its notice then cancels no later change: its mailbox
/// may not be the owner's any more.
fn has_changed_since(user: &user::Model, request: &Request) -> bool {
    request.checked_at.is_some() || user.email_set_at > Some(request.created_at)
}

/// Cancels the requested changes of an account's email. `id` is the request whose notice has the link. A further code for the change has
/// a request of its own. Returns whether one was open.
pub async fn cancel(app: &App, id: Uuid, audit: &AuditContext) -> Result<bool, ApiError> {
    let transaction = database::begin(&app.db).await?;
    let request = password_reset::find(&transaction, id).await?;
    let request = request.filter(|it| it.purpose == Purpose::EmailChange);
    let Some((request, user_id)) = request.and_then(|it| Some((it.clone(), it.user_id?))) else {
        return Ok(false);
    };
    let user = user::lock(&transaction, user_id).await?;
    let Some(user) = user.filter(|user| !has_changed_since(user, &request)) else {
        return Ok(false);
    };
    if !password_reset::end_email_changes(&transaction, user_id, app.now()).await? {
        return Ok(false);
    }
    let kind = MailKind::EmailChangeCancelled;
    let notice = app
        .outbox
        .owner_notice(kind, &user, audit.request_id(), app.now());
    let notice = notice.insert(&transaction).await?;
    let event = Event {
        user_id: Some(user_id),
        detail: Some("email change cancelled".to_owned()),
        ..audit.anonymous(EventKind::UserUpdated)
    };
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    app.outbox.notify_worker(notice).await;
    tracing::info!(user.id = user_id, "Email change cancelled");
    Ok(true)
}
