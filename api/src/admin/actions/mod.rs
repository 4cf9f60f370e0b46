//! Actions of staff members, shared by the dashboard and `/api/admin/`.
//!
//! An action is one transaction, which includes its audit events (with values before and after) and its mails.

pub mod api_tokens;
pub mod audit_log;
pub mod create_user;
pub mod edit_user;
pub mod lockouts;
pub mod mails;
pub mod remove_second_factor;
pub mod roles;
pub mod trust_email;
pub mod users;

use latchkey_shared::{
    database::{self, Transaction},
    models::{
        audit::Event,
        mail::MailKind,
        user::{self, staff},
    },
    outbox::QueuedMail,
};

use crate::admin::permissions::{Admin, Permit, Requirement};
use crate::{
    app_state::App,
    http::{audit_context::AuditContext, error::ApiError},
};

/// The maximum number of accounts in a bulk action.
pub const MAX_BULK_SIZE: usize = 500;

/// Begins the transaction of an action: reauthorizes the staff member and locks the accounts. Fails if none of the accounts
/// exists, or if the staff member may not manage all of them.
async fn begin<R: Requirement>(
    app: &App,
    admin: &Permit<R>,
    ids: &[i64],
) -> Result<(Transaction, Vec<user::Model>), ApiError> {
    if ids.len() > MAX_BULK_SIZE {
        return Err(ApiError::NotFound);
    }
    let transaction = database::begin(&app.db).await?;
    admin.reauthorize(app, &transaction).await?;
    let users = staff::lock(&transaction, ids, admin.is_superuser()).await?;
    if users.is_empty() {
        return Err(ApiError::NotFound);
    }
    if users.iter().any(|user| !admin.can_manage(user)) {
        // The audit event needs a transaction of its own.
        drop(transaction);
        return Err(not_manageable(app, admin).await);
    }
    Ok((transaction, users))
}

/// Records the events, commits, and notifies the worker of the mails.
async fn commit(
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
        app.outbox.notify_worker(mail).await;
    }
    Ok(())
}

/// Records that the staff member may not manage an account, and returns the error.
async fn not_manageable(app: &App, admin: &Admin) -> ApiError {
    tracing::info!(
        admin.user.id,
        "Request rejected: only superusers can manage staff accounts"
    );
    admin.record_not_permitted(app).await;
    ApiError::NotPermitted
}

fn ensure_not_own(admin: &Admin, users: &[user::Model]) -> Result<(), ApiError> {
    if users.iter().any(|user| user.id == admin.user.id) {
        return Err(ApiError::OwnAccount);
    }
    Ok(())
}

async fn ensure_superuser_remains(transaction: &Transaction) -> Result<(), ApiError> {
    if staff::has_superuser(transaction).await? {
        Ok(())
    } else {
        Err(ApiError::LastSuperuser)
    }
}

/// Writes a notification mail to the account owner.
async fn write_notice(
    app: &App,
    transaction: &Transaction,
    audit: &AuditContext,
    user: &user::Model,
    kind: MailKind,
) -> Result<QueuedMail, ApiError> {
    Ok(app
        .outbox
        .insert_notice(transaction, kind, user, audit.request_id(), app.now())
        .await?)
}

/// Describes the flags that differ, one per line: `name: before → after`.
fn describe_flags(flags: &[(&str, bool, bool)]) -> String {
    let lines: Vec<_> = flags
        .iter()
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| format!("{name}: {before} → {after}"))
        .collect();
    lines.join("\n")
}
