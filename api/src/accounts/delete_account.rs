//! `POST /auth/delete_account/`: a user deletes the own account.

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    database::{self, Transaction},
    models::{
        api_token,
        audit::{Event, EventKind},
        mail::MailKind,
        session,
        user::{self, staff},
    },
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    payload::Json,
    types::{self, Example},
};

use crate::{
    accounts::deletion,
    app_state::App,
    auth::{
        bearer::{ActivatedUser, CurrentUser},
        password_change::verify_current,
    },
    http::{
        audit_context::{AuditContext, with_session},
        body::Body,
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
    passwords::CurrentPassword,
    rate_limit::Limit,
};

/// The current password, which confirms the deletion.
#[derive(Debug, Object)]
#[oai(rename = "AccountDeletion", example)]
struct DeleteAccountRequest {
    /// The current password.
    #[oai(validator(min_length = 1))]
    password: types::Password,
}

impl Example for DeleteAccountRequest {
    fn example() -> Self {
        Self {
            password: types::Password("velvet harbour lantern".to_owned()),
        }
    }
}

/// When the account is deleted.
#[derive(Debug, Object)]
struct ScheduledDeletion {
    /// When the account is deleted, unless its owner logs in before.
    deletion_at: DateTime<Utc>,
    /// A sentence for people.
    message: String,
}

#[derive(ApiResponse)]
enum Accepted {
    /// All sessions have ended. The account is deleted at `deletion_at`, unless its owner logs in before.
    #[oai(status = 202)]
    Accepted(Json<ScheduledDeletion>),
}

/// The call that deletes the account of the current user.
pub struct DeleteAccount;

#[OpenApi]
impl DeleteAccount {
    /// Delete your account
    ///
    /// Requires the current password. Ends every session of the account and notifies the owner by email. A login within the grace
    /// period (7 days by default) cancels the deletion. After it, the account is deleted with its picture and everything else that
    /// is stored about it. The last superuser cannot be deleted.
    #[oai(
        path = "/auth/delete_account",
        method = "post",
        operation_id = "deleteOwnAccount",
        tag = "Tag::Account"
    )]
    async fn delete(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
        body: Body<'_, DeleteAccountRequest>,
    ) -> Result<Accepted, ErrorResponses<400, 401, 403, 409, 413, 415, 429>> {
        current.check_second_factor(app)?;
        let limit = Limit::PasswordChange(&current.user);
        app.check_limit(&audit, limit).await?;
        let mut fields = body.read().await?.fields;
        let password = fields.required::<CurrentPassword>("password");
        fields.finish()?;
        let action = Some("account deletion");
        verify_current(app, &current, password?, action, &audit).await?;
        let (transaction, user) = begin(app, &current).await?;
        let grace = app.config.accounts.deletion_grace;
        let deletion = if grace == TimeDelta::zero() {
            delete_now(app, transaction, &current, user, &audit).await?
        } else {
            schedule(app, transaction, &current, user, &audit).await?
        };
        Ok(Accepted::Accepted(Json(deletion)))
    }
}

/// Begins the transaction: locks the account, and all superusers if it is one, so that the last two cannot delete each other.
async fn begin(app: &App, current: &CurrentUser) -> Result<(Transaction, user::Model), ApiError> {
    let transaction = database::begin(&app.db).await?;
    if current.user.is_superuser {
        staff::lock(&transaction, &[current.user.id], true).await?;
    }
    let user = current
        .reauthorize_with_second_factor(app, &transaction)
        .await?;
    // The other superusers are not locked if staff has just made this account one.
    if user.is_superuser && !current.user.is_superuser {
        return Err(ApiError::NotAuthenticated);
    }
    Ok((transaction, user))
}

/// Schedules the deletion, and ends all sessions and API tokens. A deletion that is scheduled already keeps its time.
async fn schedule(
    app: &App,
    transaction: Transaction,
    current: &CurrentUser,
    mut user: user::Model,
    audit: &AuditContext,
) -> Result<ScheduledDeletion, ApiError> {
    let now = app.now();
    let grace = app.config.accounts.deletion_grace;
    let deletion_at = user.deletion_at.unwrap_or(now + grace);
    user.deletion_at = Some(deletion_at);
    user::schedule_deletion(&transaction, user.id, deletion_at).await?;
    ensure_superuser_remains(&transaction, &user).await?;
    session::revoke_all(&transaction, user.id, now).await?;
    api_token::revoke_all(&transaction, user.id, now).await?;
    let (kind, id) = (MailKind::DeletionScheduled, audit.request_id());
    let mail = app.outbox.owner_notice(kind, &user, id, now);
    let mail = mail.insert(&transaction).await?;
    let event = Event {
        detail: Some(format!(
            "deletion requested: {}",
            deletion_at.format("%Y-%m-%d")
        )),
        ..audit.own(EventKind::UserUpdated, user.id)
    };
    app.record_in(&transaction, with_session(event, current.session.id))
        .await?;
    transaction.commit().await?;
    app.outbox.notify_worker(mail).await;
    tracing::info!(user.id, %deletion_at, "Deletion of the account scheduled");
    Ok(ScheduledDeletion {
        deletion_at,
        message: "The account will be deleted. Log in before deletion_at to keep it.".to_owned(),
    })
}

/// Deletes the account in this request (`ACCOUNT_DELETION_DAYS=0`).
async fn delete_now(
    app: &App,
    transaction: Transaction,
    current: &CurrentUser,
    user: user::Model,
    audit: &AuditContext,
) -> Result<ScheduledDeletion, ApiError> {
    let event = audit.own(EventKind::UserDeleted, user.id);
    let event = with_session(event, current.session.id);
    // A superuser whose deletion is scheduled no longer counts as one that remains.
    user::schedule_deletion(&transaction, user.id, app.now()).await?;
    ensure_superuser_remains(&transaction, &user).await?;
    let mail = Some(MailKind::AccountDeleted);
    let deleted = deletion::delete(app, &transaction, user, event, mail).await?;
    transaction.commit().await?;
    deleted.finish(app).await;
    Ok(ScheduledDeletion {
        deletion_at: app.now(),
        message: "The account has been deleted.".to_owned(),
    })
}

/// Checks that a superuser remains whose deletion is not scheduled.
async fn ensure_superuser_remains(
    transaction: &Transaction,
    user: &user::Model,
) -> Result<(), ApiError> {
    if user.is_superuser && !staff::has_superuser(transaction).await? {
        return Err(ApiError::LastSuperuser);
    }
    Ok(())
}
