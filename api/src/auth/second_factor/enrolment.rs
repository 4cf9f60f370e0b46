//! Adds and removes the second factors of an account.

use latchkey_shared::{
    database::Transaction,
    models::{
        audit::{Event, EventKind},
        mail::MailKind,
        recovery_code, session, totp_secret, user,
    },
    outbox::QueuedMail,
};
use sea_orm::DbErr;

use crate::{
    app_state::App,
    auth::{
        bearer::CurrentUser,
        second_factor::recovery_code::{COUNT, RecoveryCode},
    },
    http::audit_context::{AuditContext, with_session},
};

/// Makes logins need a second factor, which the session of the request has just proved. Ends the other sessions of the account if
/// the owner asks for it.
pub async fn begin(
    app: &App,
    transaction: &Transaction,
    current: &CurrentUser,
    end_other_sessions: bool,
) -> Result<(), DbErr> {
    let (id, now) = (current.user.id, app.now());
    user::begin_second_factor(transaction, id, now).await?;
    session::record_second_factor(transaction, current.session.id, now).await?;
    if end_other_sessions {
        session::revoke_others(transaction, id, current.session.id, now).await?;
    }
    Ok(())
}

/// Removes all second factors of an account. Returns false if it had none.
pub async fn remove_all(transaction: &Transaction, user: &user::Model) -> Result<bool, DbErr> {
    totp_secret::delete(transaction, user.id).await?;
    recovery_code::delete(transaction, user.id).await?;
    user::end_second_factor(transaction, user.id).await?;
    Ok(user.second_factor_at.is_some())
}

/// Replaces the recovery codes of an account. Returns the new ones.
pub async fn replace_recovery_codes(
    app: &App,
    transaction: &Transaction,
    user_id: i64,
) -> Result<Vec<String>, DbErr> {
    let codes: Vec<_> = (0..COUNT).map(|_| RecoveryCode::generate()).collect();
    let hashes = codes
        .iter()
        .map(|code| code.hash(&app.token_hasher, user_id));
    recovery_code::replace(transaction, user_id, hashes, app.now()).await?;
    Ok(codes.iter().map(RecoveryCode::expose).collect())
}

/// Queues a mail to the owner about a change of the second factors.
pub async fn notify(
    app: &App,
    transaction: &Transaction,
    kind: MailKind,
    user: &user::Model,
    audit: &AuditContext,
) -> Result<QueuedMail, DbErr> {
    let notice = app
        .outbox
        .owner_notice(kind, user, audit.request_id(), app.now());
    notice.insert(transaction).await
}

/// Returns the audit event about a change of the second factors by their owner.
pub fn own_event(current: &CurrentUser, detail: &str, audit: &AuditContext) -> Event {
    let event = Event {
        detail: Some(detail.to_owned()),
        ..audit.own(EventKind::UserUpdated, current.user.id)
    };
    with_session(event, current.session.id)
}
