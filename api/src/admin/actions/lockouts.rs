//! Lockouts after too many attempts: list and unlock.

use std::collections::{HashMap, HashSet};

use latchkey_shared::models::{
    audit::{self, Event},
    user::{self, staff},
};

use crate::admin::{
    actions::not_manageable,
    permissions::{ChangeUsers, Permit},
};
use crate::{
    app_state::App,
    http::error::ApiError,
    rate_limit::{Lockout, LockoutSubject},
};

/// The maximum number of listed lockouts.
pub const MAX_ROWS: i64 = 100;

/// The number of shown characters of a mailbox fingerprint.
const FINGERPRINT_CHARS: usize = 16;

/// A lockout with its account, if that is known.
pub struct LockoutRow {
    /// The lockout.
    pub lockout: Lockout,
    /// A network, an account id, or the start of a mailbox fingerprint.
    pub subject: String,
    /// The locked-out account.
    pub user: Option<user::Model>,
}

/// Lists the lockouts. `mailbox` is the word that precedes a mailbox fingerprint.
pub async fn list(app: &App, mailbox: &str) -> Result<Vec<LockoutRow>, ApiError> {
    let owners = LockoutOwners::load(app).await?;
    let mut rows = Vec::new();
    for lockout in app.limits.list_lockouts(app.now(), MAX_ROWS).await? {
        let subject = match &lockout.subject {
            LockoutSubject::ClientIp(network) => network.clone(),
            LockoutSubject::Account(id) => id.to_string(),
            LockoutSubject::Mailbox(fingerprint) => {
                let start: String = fingerprint.chars().take(FINGERPRINT_CHARS).collect();
                format!("{mailbox} {start}")
            }
        };
        let user = owners.find(app, &lockout).await?;
        rows.push(LockoutRow {
            lockout,
            subject,
            user,
        });
    }
    Ok(rows)
}

/// Returns the ids of those accounts that have a lockout.
pub async fn locked_out(app: &App, users: &[user::Model]) -> Result<HashSet<i64>, ApiError> {
    let users: Vec<_> = users.iter().collect();
    let lockouts = app.limits.account_lockouts(&users, app.now()).await?;
    Ok(lockouts.into_keys().collect())
}

/// Removes a lockout, so that new attempts are allowed immediately.
pub async fn unlock(app: &App, admin: &Permit<ChangeUsers>, name: &str) -> Result<(), ApiError> {
    let lockout = app.limits.find_lockout(name, app.now()).await?;
    let lockout = lockout.ok_or(ApiError::NotFound)?;
    let user = LockoutOwners::load(app).await?.find(app, &lockout).await?;
    if user.as_ref().is_some_and(|user| !admin.can_manage(user)) {
        return Err(not_manageable(app, admin).await);
    }
    let detail = format!("unlocked: {}", lockout.limit);
    let until = lockout.until.to_rfc3339();
    let event = match &user {
        Some(user) => admin.audit_event_about(user, &detail),
        None => admin.audit_event(None, &detail),
    };
    app.record(Event {
        subject: match lockout.subject {
            LockoutSubject::Mailbox(fingerprint) => Some(fingerprint),
            _ => None,
        },
        changes: Some(format!("locked out until: {until} → -")),
        ..event
    })
    .await?;
    app.limits.unlock(name).await
}

/// Finds the accounts of lockouts. The limiter knows an address only by its fingerprint.
///
/// Only superusers can unlock staff accounts, so those accounts are found by their current addresses. The audit log names the other
/// accounts: by an event that has both the address and the account, or by the address that a client gave.
struct LockoutOwners {
    /// The accounts of staff and superusers by the fingerprints of their addresses.
    privileged: HashMap<String, user::Model>,
}

impl LockoutOwners {
    async fn load(app: &App) -> Result<Self, ApiError> {
        let users = staff::list_privileged(&app.db).await?;
        let by_fingerprint = |user: user::Model| (fingerprint(app, &user), user);
        Ok(Self {
            privileged: users.into_iter().map(by_fingerprint).collect(),
        })
    }

    /// Returns the account of a lockout, if it is known and still has the address.
    async fn find(&self, app: &App, lockout: &Lockout) -> Result<Option<user::Model>, ApiError> {
        match &lockout.subject {
            LockoutSubject::ClientIp(_) => Ok(None),
            LockoutSubject::Account(id) => Ok(user::find(&app.db, *id).await?),
            LockoutSubject::Mailbox(mailbox) => {
                if let Some(user) = self.privileged.get(mailbox) {
                    return Ok(Some(user.clone()));
                }
                let user = match audit::find_user_by_subject(&app.db, mailbox).await? {
                    Some(id) => user::find(&app.db, id).await?,
                    None => find_by_given_email(app, mailbox).await?,
                };
                Ok(user.filter(|user| fingerprint(app, user) == *mailbox))
            }
        }
    }
}

/// Returns the account of an email that clients gave before the account existed, or in a request that did not look it up.
async fn find_by_given_email(app: &App, mailbox: &str) -> Result<Option<user::Model>, ApiError> {
    let email = audit::find_email_by_subject(&app.db, &app.audit_key, mailbox).await?;
    match email.and_then(|email| email.parse().ok()) {
        Some(email) => Ok(user::find_by_email(&app.db, &email).await?),
        None => Ok(None),
    }
}

fn fingerprint(app: &App, user: &user::Model) -> String {
    app.fingerprints.of_mailbox(&user.email_key)
}
