//! Changes of an account's email, and what each of its emails is good for until the owner has confirmed the new one.
//!
//! A code for a password reset goes to the last confirmed email (`user::Model::reset_email`). So neither an attacker with a stolen token
//! nor a typing error redirects these codes at once.

mod cancellation;

use chrono::TimeDelta;
use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::{Event, EventKind, ValueChange},
        mail::MailKind,
        password_reset::{self, Model as Request},
        user::{self, WriteUserError},
    },
    outbox::QueuedMail,
    types::email::Email,
};
use sea_orm::DbErr;
use uuid::Uuid;

use crate::{
    app_state::App,
    auth::{
        bearer::CurrentUser, code_request::CodeRequest, jwt::ResetToken,
        password_change::verify_current,
    },
    config::accounts::EmailChange,
    http::{
        audit_context::{AuditContext, with_session},
        error::ApiError,
    },
    passwords::CurrentPassword,
    rate_limit::Limit,
};

pub use crate::auth::email_change::cancellation::{ChangeState, cancel, state};

/// Names a change of an email in the audit event about a wrong password.
pub const PASSWORD_CHECK: &str = "email change";

/// How long the codes of password resets still go to the previous email, after the owner has confirmed an email that was changed without
/// the password, or staff has chosen one. The previous owner can react to the notice in this time.
pub const NOTICE_PERIOD: TimeDelta = TimeDelta::days(1);

/// Counts a request for a code to a new email: per account, and per client like any other request for a code.
pub async fn count(app: &App, user: &user::Model, audit: &AuditContext) -> Result<(), ApiError> {
    app.count_request(audit, Limit::EmailChange(user)).await?;
    app.count_request(audit, Limit::CodeRequest).await
}

/// Whether a change of this account's email waits for the password and a code. Staff accounts give access to others, so a stolen token
/// of one must not be enough.
#[must_use]
pub fn needs_confirmation(app: &App, user: &user::Model) -> bool {
    app.config.accounts.email_change == EmailChange::Confirm || user.is_staff || user.is_superuser
}

/// Whether a change contains an email that differs from the account's, other than in case.
#[must_use]
pub fn is_new_email(email: Option<&Email>, user: &user::Model) -> bool {
    email.is_some_and(|new| new.key() != user.email_key)
}

/// A stored request to confirm an email. Notify the worker of its mails after the commit.
pub struct Requested {
    /// Confirms the email, together with the code.
    pub token: ResetToken,
    /// The mails about it.
    pub mails: Vec<QueuedMail>,
}

/// Verifies the password, and requests a change of the email that waits for a code. Returns the token.
pub async fn request(
    app: &App,
    current: &CurrentUser,
    password: CurrentPassword,
    email: &Email,
    audit: &AuditContext,
) -> Result<ResetToken, ApiError> {
    current.check_second_factor(app)?;
    count(app, &current.user, audit).await?;
    verify_current(app, current, password, Some(PASSWORD_CHECK), audit).await?;
    let transaction = database::begin(&app.db).await?;
    current
        .reauthorize_with_second_factor(app, &transaction)
        .await?;
    let requested = request_in(app, &transaction, current, email, audit).await?;
    transaction.commit().await?;
    for mail in requested.mails {
        app.outbox.notify_worker(mail).await;
    }
    Ok(requested.token)
}

/// Requests a change of the email that waits for a code, in a transaction that has reauthorized the user. The caller has verified the
/// password. The notice to the current email contains a link that cancels the change.
pub async fn request_in(
    app: &App,
    transaction: &Transaction,
    current: &CurrentUser,
    email: &Email,
    audit: &AuditContext,
) -> Result<Requested, ApiError> {
    let user = &current.user;
    let (id, token, code) = request_code(app, transaction, user.id, email, audit).await?;
    let (kind, now) = (MailKind::EmailChangeRequested, app.now());
    let notice = app
        .outbox
        .notice_about(kind, user, user.reset_email(now), audit.request_id(), now)
        .about_request(id)
        .insert(transaction)
        .await?;
    let mut event = own_event(current, "email change requested", audit);
    event.details.changes.push(change_of(user, email));
    app.record_in(transaction, event).await?;
    Ok(Requested {
        token,
        mails: vec![code, notice],
    })
}

/// Requests a further code for an email: that of the open change, or the current one. A further code for a change has a notice, too.
pub async fn request_again(
    app: &App,
    transaction: &Transaction,
    current: &CurrentUser,
    email: &Email,
    audit: &AuditContext,
) -> Result<Requested, ApiError> {
    if email.key() != current.user.email_key {
        return request_in(app, transaction, current, email, audit).await;
    }
    let (_, token, mail) = request_code(app, transaction, current.user.id, email, audit).await?;
    Ok(Requested {
        token,
        mails: vec![mail],
    })
}

/// Stores a request for a code that confirms an email, and its mail. It replaces an earlier one. The worker sends no code to an email
/// that has another account.
pub async fn request_code(
    app: &App,
    transaction: &Transaction,
    user_id: i64,
    email: &Email,
    audit: &AuditContext,
) -> Result<(Uuid, ResetToken, QueuedMail), DbErr> {
    password_reset::end_email_changes(transaction, user_id, app.now()).await?;
    let CodeRequest { token, reset, mail } = CodeRequest::of_email(app, user_id, email, audit);
    let id = reset.id;
    password_reset::insert(transaction, reset).await?;
    Ok((id, token, mail.insert(transaction).await?))
}

/// Returns the audit event of a change of the email by its owner that takes effect at once.
#[must_use]
pub fn immediate_change(current: &CurrentUser, email: &Email, audit: &AuditContext) -> Event {
    let mut event = own_event(current, "e-mail address", audit);
    event.details.changes.push(change_of(&current.user, email));
    event
}

/// Ends the open requests for codes of an account whose email changes without a confirmation, and queues the notice to the email that
/// gets codes. `kind` is the notice about an email that gets none.
///
/// Must run before the account's email changes (see [`database::lock_no_key_update`]).
pub async fn before_unconfirmed_change(
    app: &App,
    transaction: &Transaction,
    before: &user::Model,
    email: &Email,
    kind: MailKind,
    audit: &AuditContext,
) -> Result<QueuedMail, DbErr> {
    let now = app.now();
    password_reset::end_all(transaction, before.id, now).await?;
    let to = before.reset_email(now);
    let kind = if to.key() == email.key() {
        MailKind::EmailRestored
    } else if before.pending_email_verification {
        // The new email gets codes at once.
        MailKind::EmailChanged
    } else {
        kind
    };
    app.outbox
        .notice_about(kind, before, to, audit.request_id(), now)
        .insert(transaction)
        .await
}

/// What a confirmation has changed.
#[derive(Default)]
pub struct Confirmed {
    /// The change of the email, unless the account had it before.
    pub change: Option<ValueChange>,
    /// The notice to the email that got codes before.
    pub notice: Option<QueuedMail>,
}

/// Confirms the email of a request, whose right code was entered. An email that was requested with the password becomes the account's only
/// one. One that the account already has was changed without the password, so the previous one gets the codes for another
/// [`NOTICE_PERIOD`]. Returns `None` if the request has ended, or if
/// another account has the email by now. The password has not changed since the request, as that ends all requests.
pub async fn confirm(
    app: &App,
    transaction: &Transaction,
    request: &Request,
    audit: &AuditContext,
) -> Result<Option<Confirmed>, ApiError> {
    let (Some(id), Some(email), now) = (request.user_id, &request.new_email, app.now()) else {
        return Ok(None);
    };
    // Every change of an account locks its row first.
    let user = user::lock(transaction, id).await?;
    let Some(user) = user.filter(|user| request.is_owned_by(user)) else {
        return Ok(None);
    };
    if user::is_taken(transaction, email, id, now).await?
        || !password_reset::mark_checked(transaction, request.id, now).await?
        || !password_reset::consume(transaction, request.id, now).await?
    {
        return Ok(None);
    }
    let mut confirmed = Confirmed::default();
    let previous = user.reset_email(now);
    if user.email_key == email.key() && previous.key() != email.key() {
        user::confirm_current_email(transaction, &user, now, NOTICE_PERIOD).await?;
        return Ok(Some(confirmed));
    }
    if previous.key() != email.key() {
        password_reset::end_all(transaction, id, now).await?;
        let kind = MailKind::EmailChanged;
        let notice = app
            .outbox
            .notice_about(kind, &user, previous, audit.request_id(), now);
        confirmed.notice = Some(notice.insert(transaction).await?);
    }
    if user.email_key != email.key() {
        confirmed.change = Some(change_of(&user, email));
    }
    match user::confirm_email(transaction, &user, email, now).await {
        Ok(Some(_)) => Ok(Some(confirmed)),
        // Taken by a concurrent request.
        Ok(None) | Err(WriteUserError::EmailTaken) => Err(ApiError::InvalidOtp),
        Err(WriteUserError::Database(error)) => Err(error.into()),
    }
}

/// Applies to the email that the owner has entered the code of a password reset. A reset that names the email which gets codes confirms
/// it and, if the account has another one by now, restores it. A reset that names an unconfirmed email leaves it so. Returns the account.
pub async fn confirm_by_reset(
    app: &App,
    transaction: &Transaction,
    user: user::Model,
    reset: &Request,
) -> Result<user::Model, ApiError> {
    let email = user.reset_email(reset.created_at).clone();
    if email.key() != reset.email_key {
        return Ok(user);
    }
    match user::confirm_email(transaction, &user, &email, app.now()).await {
        Ok(Some(user)) => Ok(user),
        // Taken since the email stopped getting codes.
        Ok(None) | Err(WriteUserError::EmailTaken) => Err(ApiError::InvalidResetToken),
        Err(WriteUserError::Database(error)) => Err(error.into()),
    }
}

fn own_event(current: &CurrentUser, detail: &str, audit: &AuditContext) -> Event {
    let event = Event {
        detail: Some(detail.to_owned()),
        ..audit.own(EventKind::UserUpdated, current.user.id)
    };
    with_session(event, current.session.id)
}

fn change_of(user: &user::Model, email: &Email) -> ValueChange {
    ValueChange {
        field: "email".to_owned(),
        before: Some(user.email.to_string()),
        after: Some(email.to_string()),
    }
}
