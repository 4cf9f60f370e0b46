//! Actions on one or several accounts.

use latchkey_shared::models::{
    audit::Event,
    mail::MailKind,
    password_reset::{self, Purpose},
    session,
    user::{self, staff},
};
use uuid::Uuid;

use crate::admin::{
    actions::{
        MAX_BULK_SIZE, begin, commit, describe_flags, ensure_not_own, ensure_superuser_remains,
        not_manageable, write_notice,
    },
    permissions::{Admin, ChangeUsers, DeleteUsers, Permit},
};
use crate::{
    app_state::App,
    http::{audit_context, error::ApiError},
};

/// Finds the accounts for the confirmation page of a bulk action, with the checks of the action itself.
pub async fn find_selected(
    app: &App,
    admin: &Admin,
    ids: &[i64],
    exclude_own: bool,
) -> Result<Vec<user::Model>, ApiError> {
    if ids.len() > MAX_BULK_SIZE {
        return Err(ApiError::NotFound);
    }
    let users = staff::find_all(&app.db, ids).await?;
    if users.is_empty() {
        return Err(ApiError::NotFound);
    }
    if users.iter().any(|user| !admin.can_manage(user)) {
        return Err(not_manageable(app, admin).await);
    }
    if exclude_own {
        ensure_not_own(admin, &users)?;
    }
    Ok(users)
}

/// Activates and reactivates accounts. Sends a mail to the owner of each account that changes. Returns their number.
pub async fn activate(
    app: &App,
    admin: &Permit<ChangeUsers>,
    ids: &[i64],
) -> Result<usize, ApiError> {
    let (transaction, users) = begin(app, admin, ids).await?;
    let (mut events, mut mails) = (Vec::new(), Vec::new());
    for user in &users {
        if user::activate(&transaction, user.id).await? {
            mails.push(
                write_notice(app, &transaction, &admin.audit, user, MailKind::Activated).await?,
            );
            events.push(Event {
                changes: Some(describe_flags(&[
                    ("is_activated", user.is_activated, true),
                    ("is_active", user.is_active, true),
                ])),
                ..admin.audit_event_about(user, "activated")
            });
        }
    }
    let count = events.len();
    commit(app, transaction, events, mails).await?;
    Ok(count)
}

/// Deactivates accounts and ends their sessions. Returns the number of accounts that changed.
pub async fn deactivate(
    app: &App,
    admin: &Permit<ChangeUsers>,
    ids: &[i64],
) -> Result<usize, ApiError> {
    let (transaction, users) = begin(app, admin, ids).await?;
    ensure_not_own(admin, &users)?;
    let mut events = Vec::new();
    for user in &users {
        if user::deactivate(&transaction, user.id, app.now()).await? {
            events.push(Event {
                changes: Some(describe_flags(&[("is_active", true, false)])),
                ..admin.audit_event_about(user, "deactivated")
            });
        }
    }
    if users.iter().any(|user| user.is_superuser) {
        ensure_superuser_remains(&transaction).await?;
    }
    let count = events.len();
    commit(app, transaction, events, Vec::new()).await?;
    Ok(count)
}

/// Deletes accounts with their sessions, password resets and pictures. Returns the number of deleted accounts.
pub async fn delete(
    app: &App,
    admin: &Permit<DeleteUsers>,
    ids: &[i64],
) -> Result<usize, ApiError> {
    let (transaction, users) = begin(app, admin, ids).await?;
    ensure_not_own(admin, &users)?;
    let (mut events, mut pictures) = (Vec::new(), Vec::new());
    let all: Vec<_> = users.iter().map(|user| user.id).collect();
    password_reset::delete_all(&transaction, &all).await?;
    for user in &users {
        if staff::delete(&transaction, user.id).await? {
            events.push(deleted_event(app, admin, user));
            pictures.extend(user.picture.as_deref());
        }
    }
    if users.iter().any(|user| user.is_superuser) {
        ensure_superuser_remains(&transaction).await?;
    }
    let count = events.len();
    commit(app, transaction, events, Vec::new()).await?;
    for picture in pictures {
        app.pictures.remove(picture).await;
    }
    Ok(count)
}

fn deleted_event(app: &App, admin: &Admin, user: &user::Model) -> Event {
    let mut event = admin.audit_event_about(user, "deleted");
    event.details.email = Some(user.email.to_string());
    Event {
        subject: Some(app.audit_subject(&user.email_key)),
        changes: Some(format!(
            "is_activated: {}, is_active: {}, is_staff: {}, is_superuser: {}, permissions: [{}]",
            user.is_activated, user.is_active, user.is_staff, user.is_superuser, user.permissions
        )),
        ..event
    }
}

/// Ends all sessions of accounts. Returns the number of accounts.
pub async fn end_all_sessions(
    app: &App,
    admin: &Permit<ChangeUsers>,
    ids: &[i64],
) -> Result<usize, ApiError> {
    let (transaction, users) = begin(app, admin, ids).await?;
    let mut events = Vec::new();
    for user in &users {
        let alive = session::list_alive(&transaction, user.id, app.now()).await?;
        session::revoke_all(&transaction, user.id, app.now()).await?;
        events.push(Event {
            changes: Some(format!("sessions: {} → 0", alive.len())),
            ..admin.audit_event_about(user, "all sessions ended")
        });
    }
    let count = events.len();
    commit(app, transaction, events, Vec::new()).await?;
    Ok(count)
}

/// Ends one session of an account.
pub async fn end_session(
    app: &App,
    admin: &Permit<ChangeUsers>,
    user_id: i64,
    id: Uuid,
) -> Result<(), ApiError> {
    let (transaction, users) = begin(app, admin, &[user_id]).await?;
    if !session::revoke_own(&transaction, user_id, id, app.now()).await? {
        return Err(ApiError::NotFound);
    }
    let event = admin.audit_event_about(&users[0], "session ended");
    let event = Event {
        changes: Some(describe_flags(&[("ended", false, true)])),
        ..audit_context::with_session(event, id)
    };
    commit(app, transaction, vec![event], Vec::new()).await
}

/// Why no password reset can be requested.
pub const DEACTIVATED: &str = "The account is deactivated. Reactivate it first.";

/// Sends a mail that asks the account owner to choose a new password. Ends the open password resets and the other one-time
/// codes. The mail counts against the mail budget of staff requests, not against that of the owner.
pub async fn request_password_reset(
    app: &App,
    admin: &Permit<ChangeUsers>,
    id: i64,
) -> Result<(), ApiError> {
    let (transaction, mut users) = begin(app, admin, &[id]).await?;
    let user = users.remove(0);
    if !user.is_active {
        return Err(ApiError::InvalidState(DEACTIVATED));
    }
    let now = app.now();
    let ended = password_reset::end_all(&transaction, user.id, now).await?;
    let open = ended
        .iter()
        .filter(|reset| reset.purpose == Purpose::Reset && now < reset.expires_at)
        .count();
    let kind = MailKind::ResetAsked;
    let mail = write_notice(app, &transaction, &admin.audit, &user, kind).await?;
    let event = Event {
        changes: Some(format!("open resets: {open} → 0")),
        ..admin.audit_event_about(&user, "password reset requested")
    };
    commit(app, transaction, vec![event], vec![mail]).await
}
