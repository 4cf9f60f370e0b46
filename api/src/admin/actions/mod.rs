//! What administrators do, whichever way they come: the dashboard's pages and `/api/admin/` call these, and nothing else
//! changes anything there. Each act is one transaction with its audit events, which say what was before and after, and
//! with the mails it causes.

pub mod edit_user;
pub mod lockouts;

use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::Event,
        mail::MailKind,
        password_reset::{self, Purpose},
        session,
        user::{self, staff},
    },
    outbox::QueuedMail,
};
use uuid::Uuid;

use crate::admin::permissions::{Admin, ChangeUsers, DeleteUsers, Permit, Right};
use crate::{
    app_state::App,
    http::{audit_context::AuditContext, error::ApiError},
};

/// The most accounts that one act takes.
pub const MAX_BULK_SIZE: usize = 500;

/// One step of the audit log.
pub(super) fn event(admin: &Admin, user_id: Option<i64>, what: &str) -> Event {
    admin.trail.by_admin(admin, user_id, what)
}

/// Writes the events of an act, ends it, and wakes the worker for its mails.
pub(super) async fn finish(
    app: &App,
    transaction: Transaction,
    events: Vec<Event>,
    mails: Vec<QueuedMail>,
) -> Result<(), ApiError> {
    for event in events {
        app.record_in(&transaction, event).await?;
    }
    transaction.commit().await?;
    for mail in mails {
        app.outbox.wake(mail).await;
    }
    Ok(())
}

/// The accounts that an act is about, as a question before it shows them: there, and the administrator's to change. With
/// `others` their own is not among them.
///
/// # Errors
/// When there are none, or one that the administrator may not touch, or their own.
pub async fn look(
    app: &App,
    admin: &Admin,
    ids: &[i64],
    others: bool,
) -> Result<Vec<user::Model>, ApiError> {
    if ids.len() > MAX_BULK_SIZE {
        return Err(ApiError::NotFound);
    }
    let users = staff::find_all(&app.db, ids).await?;
    if users.is_empty() {
        return Err(ApiError::NotFound);
    }
    if users.iter().any(|user| !admin.can_manage(user)) {
        admin.trail.not_permitted(app, admin.user.id).await;
        return Err(ApiError::NotPermitted);
    }
    if others {
        not_own(admin, &users)?;
    }
    Ok(users)
}

/// Lets accounts in, shut ones back in. Each owner whose account that changes gets a mail.
///
/// # Errors
/// When there are none, or one that the administrator may not touch.
pub async fn activate(
    app: &App,
    admin: &Permit<ChangeUsers>,
    ids: &[i64],
) -> Result<usize, ApiError> {
    let (transaction, users) = begin(app, admin, ids).await?;
    let (mut events, mut mails) = (Vec::new(), Vec::new());
    for user in &users {
        if user::activate(&transaction, user.id).await? {
            mails.push(notice(app, &transaction, &admin.trail, user, MailKind::Activated).await?);
            events.push(Event {
                changes: Some(flags(&[
                    ("is_activated", user.is_activated, true),
                    ("is_active", user.is_active, true),
                ])),
                ..event(admin, Some(user.id), "activated")
            });
        }
    }
    let done = events.len();
    finish(app, transaction, events, mails).await?;
    Ok(done)
}

/// Shuts accounts; all of their sessions end.
///
/// # Errors
/// When there are none, one that the administrator may not touch, their own, or that of the last superuser.
pub async fn deactivate(
    app: &App,
    admin: &Permit<ChangeUsers>,
    ids: &[i64],
) -> Result<usize, ApiError> {
    let (transaction, users) = begin(app, admin, ids).await?;
    not_own(admin, &users)?;
    let superusers = users.iter().any(|user| user.is_superuser);
    let mut events = Vec::new();
    for user in &users {
        if user::deactivate(&transaction, user.id, app.now()).await? {
            events.push(Event {
                changes: Some(flags(&[("is_active", true, false)])),
                ..event(admin, Some(user.id), "deactivated")
            });
        }
    }
    if superusers {
        some_superuser_left(&transaction).await?;
    }
    let done = events.len();
    finish(app, transaction, events, Vec::new()).await?;
    Ok(done)
}

/// Removes accounts with their sessions, resets and pictures.
///
/// # Errors
/// When there are none, one that the administrator may not touch, their own, or that of the last superuser.
pub async fn delete(
    app: &App,
    admin: &Permit<DeleteUsers>,
    ids: &[i64],
) -> Result<usize, ApiError> {
    let (transaction, users) = begin(app, admin, ids).await?;
    not_own(admin, &users)?;
    let superusers = users.iter().any(|user| user.is_superuser);
    let (mut events, mut pictures) = (Vec::new(), Vec::new());
    let all: Vec<_> = users.iter().map(|user| user.id).collect();
    password_reset::delete_all(&transaction, &all).await?;
    for user in users {
        if staff::delete(&transaction, user.id).await? {
            events.push(Event {
                subject: Some(app.subject(&user.email)),
                changes: Some(format!(
                    "is_activated: {}, is_active: {}, is_staff: {}, is_superuser: {}, permissions: [{}]",
                    user.is_activated,
                    user.is_active,
                    user.is_staff,
                    user.is_superuser,
                    user.permissions
                )),
                ..event(admin, Some(user.id), "deleted")
            });
            pictures.extend(user.picture);
        }
    }
    if superusers {
        some_superuser_left(&transaction).await?;
    }
    let done = events.len();
    finish(app, transaction, events, Vec::new()).await?;
    for picture in pictures {
        app.pictures.remove(&picture).await;
    }
    Ok(done)
}

/// Ends every session of accounts.
///
/// # Errors
/// When there are none, or one that the administrator may not touch.
pub async fn sign_out(
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
            ..event(admin, Some(user.id), "signed out everywhere")
        });
    }
    let done = events.len();
    finish(app, transaction, events, Vec::new()).await?;
    Ok(done)
}

/// Ends one session of an account.
///
/// # Errors
/// When it has none such, or the administrator may not touch it.
pub async fn end_session(
    app: &App,
    admin: &Permit<ChangeUsers>,
    user_id: i64,
    id: Uuid,
) -> Result<(), ApiError> {
    let (transaction, _) = begin(app, admin, &[user_id]).await?;
    if !session::revoke_own(&transaction, user_id, id, app.now()).await? {
        return Err(ApiError::NotFound);
    }
    let ended = Event {
        changes: Some(flags(&[("ended", false, true)])),
        ..crate::http::audit_context::of_session(event(admin, Some(user_id), "session ended"), id)
    };
    finish(app, transaction, vec![ended], Vec::new()).await
}

/// Asks the owner of an account by mail to set a new password. Open resets end, and what else a code was mailed for, so that
/// codes of before are worth nothing. These mails have a budget of their own where they are sent, so that they use up nothing
/// of the owner's.
///
/// # Errors
/// When the account is shut or not there, or the administrator may not touch it.
pub async fn request_password_reset(
    app: &App,
    admin: &Permit<ChangeUsers>,
    id: i64,
) -> Result<(), ApiError> {
    let (transaction, mut users) = begin(app, admin, &[id]).await?;
    let user = users.remove(0);
    if !user.is_active {
        return Err(ApiError::InvalidState);
    }
    let now = app.now();
    let ended = password_reset::end_all(&transaction, user.id, now).await?;
    let open = ended
        .iter()
        .filter(|reset| reset.purpose == Purpose::Reset && now < reset.expires_at)
        .count();
    let mail = notice(app, &transaction, &admin.trail, &user, MailKind::ResetAsked).await?;
    let asked = Event {
        changes: Some(format!("open resets: {open} → 0")),
        ..event(admin, Some(user.id), "asked for a new password")
    };
    finish(app, transaction, vec![asked], vec![mail]).await
}

/// The transaction of an act, in which the administrator still may do it, and the accounts as they are in it: there, and
/// the administrator's to change.
pub(super) async fn begin<R: Right>(
    app: &App,
    admin: &Permit<R>,
    ids: &[i64],
) -> Result<(Transaction, Vec<user::Model>), ApiError> {
    if ids.len() > MAX_BULK_SIZE {
        return Err(ApiError::NotFound);
    }
    let transaction = database::begin(&app.db).await?;
    admin.reauthorize(app, &transaction).await?;
    // Nobody but a superuser touches one.
    let users = staff::hold(&transaction, ids, admin.user.is_superuser).await?;
    if users.is_empty() {
        return Err(ApiError::NotFound);
    }
    if users.iter().any(|user| !admin.can_manage(user)) {
        tracing::info!(
            admin.user.id,
            "Refused: accounts of staff are for superusers."
        );
        drop(transaction);
        admin.trail.not_permitted(app, admin.user.id).await;
        return Err(ApiError::NotPermitted);
    }
    Ok((transaction, users))
}

fn not_own(admin: &Admin, users: &[user::Model]) -> Result<(), ApiError> {
    if users.iter().any(|user| user.id == admin.user.id) {
        return Err(ApiError::OwnAccount);
    }
    Ok(())
}

pub(super) async fn some_superuser_left(transaction: &Transaction) -> Result<(), ApiError> {
    if staff::has_superuser(transaction).await? {
        Ok(())
    } else {
        Err(ApiError::LastSuperuser)
    }
}

pub(super) async fn notice(
    app: &App,
    transaction: &Transaction,
    trail: &AuditContext,
    user: &user::Model,
    kind: MailKind,
) -> Result<QueuedMail, ApiError> {
    Ok(app
        .outbox
        .write_notice(transaction, kind, user, trail.request_id(), app.now())
        .await?)
}

/// The flags that differ, a line each.
pub(super) fn flags(flags: &[(&str, bool, bool)]) -> String {
    let lines: Vec<_> = flags
        .iter()
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| format!("{name}: {before} → {after}"))
        .collect();
    lines.join("\n")
}
