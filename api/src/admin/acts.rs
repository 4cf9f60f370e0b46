//! What administrators do, whichever way they come: the dashboard's pages and `/api/admin/` call these, and nothing else
//! changes anything there. Each act is one transaction with its audit events, which say what was before and after, and
//! with the mails it causes.

use latchkey_shared::{
    audit::Event,
    database,
    mail::MailKind,
    outbox::Written,
    password_reset, session,
    user::{self, staff},
};
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::permit::{Admin, ChangeUsers, DeleteUsers, Permit};
use crate::{app::App, audit::Trail, error::ApiError};

/// The most accounts that one act takes.
pub const MOST: usize = 500;

/// One step of the audit log.
pub(super) fn event(admin: &Admin, user_id: Option<i64>, what: &str) -> Event {
    admin.trail.by_admin(admin, user_id, what)
}

/// Writes the events of an act, ends it, and wakes the worker for its mails.
pub(super) async fn finish(
    app: &App,
    transaction: DatabaseTransaction,
    events: Vec<Event>,
    mails: Vec<Written>,
) -> Result<(), ApiError> {
    for event in events {
        app.note_in(&transaction, event).await?;
    }
    transaction.commit().await?;
    for mail in mails {
        app.outbox.wake(mail).await;
    }
    Ok(())
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
    let users = touchable(app, admin, ids).await?;
    let transaction = database::begin(&app.db).await?;
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
    let users = touchable(app, admin, ids).await?;
    not_own(admin, &users)?;
    let transaction = database::begin(&app.db).await?;
    let superusers = users.iter().any(|user| user.is_superuser);
    if superusers {
        staff::lock_superusers(&transaction).await?;
    }
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
    let users = touchable(app, admin, ids).await?;
    not_own(admin, &users)?;
    let transaction = database::begin(&app.db).await?;
    let superusers = users.iter().any(|user| user.is_superuser);
    if superusers {
        staff::lock_superusers(&transaction).await?;
    }
    let (mut events, mut pictures) = (Vec::new(), Vec::new());
    for user in users {
        if staff::delete(&transaction, user.id).await? {
            events.push(Event {
                subject: Some(app.subject(&user.email)),
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
    let users = touchable(app, admin, ids).await?;
    let transaction = database::begin(&app.db).await?;
    let mut events = Vec::new();
    for user in &users {
        session::revoke_all(&transaction, user.id, app.now()).await?;
        events.push(event(admin, Some(user.id), "signed out everywhere"));
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
    touchable(app, admin, &[user_id]).await?;
    let transaction = database::begin(&app.db).await?;
    if !session::revoke_own(&transaction, user_id, id, app.now()).await? {
        return Err(ApiError::NotFound);
    }
    let ended = crate::audit::of_session(event(admin, Some(user_id), "session ended"), id);
    finish(app, transaction, vec![ended], Vec::new()).await
}

/// Asks the owner of an account by mail to set a new password. Open resets end, so that codes of before are worth nothing.
///
/// # Errors
/// When the account is shut or not there, or the administrator may not touch it.
pub async fn ask_for_reset(
    app: &App,
    admin: &Permit<ChangeUsers>,
    id: i64,
) -> Result<(), ApiError> {
    let user = touchable(app, admin, &[id]).await?.remove(0);
    if !user.is_active {
        return Err(ApiError::NotPossible);
    }
    let transaction = database::begin(&app.db).await?;
    password_reset::end_all(&transaction, user.id, app.now()).await?;
    let mail = notice(app, &transaction, &admin.trail, &user, MailKind::ResetAsked).await?;
    let asked = event(admin, Some(user.id), "asked for a new password");
    finish(app, transaction, vec![asked], vec![mail]).await
}

/// Lets somebody try again whom a limit holds.
///
/// # Errors
/// When nobody is held by that name.
pub async fn release(app: &App, admin: &Permit<ChangeUsers>, name: &str) -> Result<(), ApiError> {
    if !app.limits.release(name).await? {
        return Err(ApiError::NotFound);
    }
    let what = name.split(':').next().unwrap_or_default();
    let subject = name
        .split_once(":email:")
        .map(|(_, mailbox)| mailbox.to_owned());
    app.note(Event {
        subject,
        ..event(admin, None, &format!("released from the limit {what}"))
    })
    .await?;
    Ok(())
}

/// The accounts, all of them there and the administrator's to change.
async fn touchable(app: &App, admin: &Admin, ids: &[i64]) -> Result<Vec<user::Model>, ApiError> {
    let users = staff::find_all(&app.db, ids).await?;
    if users.is_empty() || users.len() > MOST {
        return Err(ApiError::NotFound);
    }
    if users.iter().any(|user| !admin.may_touch(user)) {
        tracing::info!(
            admin.user.id,
            "Refused: accounts of staff are for superusers."
        );
        return Err(ApiError::NotPermitted);
    }
    Ok(users)
}

fn not_own(admin: &Admin, users: &[user::Model]) -> Result<(), ApiError> {
    if users.iter().any(|user| user.id == admin.user.id) {
        return Err(ApiError::OwnAccount);
    }
    Ok(())
}

pub(super) async fn some_superuser_left(transaction: &DatabaseTransaction) -> Result<(), ApiError> {
    if staff::has_superuser(transaction).await? {
        Ok(())
    } else {
        Err(ApiError::LastSuperuser)
    }
}

pub(super) async fn notice(
    app: &App,
    transaction: &DatabaseTransaction,
    trail: &Trail,
    user: &user::Model,
    kind: MailKind,
) -> Result<Written, ApiError> {
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
