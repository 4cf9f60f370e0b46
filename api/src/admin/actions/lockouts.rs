//! Ends lockouts, and finds the accounts that they concern.

use std::collections::HashMap;

use latchkey_shared::models::{
    audit::{self, Event},
    user::{self, staff},
};

use super::event;
use crate::{
    admin::permissions::{ChangeUsers, Permit},
    app_state::App,
    http::error::ApiError,
    rate_limit::{Lockout, LockoutSubject},
};

/// Ends a lockout before its time.
///
/// # Errors
/// When there is no lockout of that name, or it concerns an account that the administrator may not change.
pub async fn release(app: &App, admin: &Permit<ChangeUsers>, name: &str) -> Result<(), ApiError> {
    let held = app.limits.find_lockout(name, app.now()).await?;
    let held = held.ok_or(ApiError::NotFound)?;
    let owner = LockoutOwners::load(app).await?.find(app, &held).await?;
    if owner.as_ref().is_some_and(|user| !admin.can_manage(user)) {
        admin.trail.not_permitted(app, admin.user.id).await;
        return Err(ApiError::NotPermitted);
    }
    let what = format!("released from the limit {}", held.what);
    app.note(Event {
        subject: match &held.whom {
            LockoutSubject::Mailbox(fingerprint) => Some(fingerprint.clone()),
            _ => None,
        },
        changes: Some(format!("held: until {} → no more", held.until.to_rfc3339())),
        ..event(admin, owner.map(|user| user.id), &what)
    })
    .await?;
    app.limits.release(name).await
}

/// Finds the account that a lockout concerns. Limits know an address by its fingerprint.
///
/// Permissions depend on it where the account is staff's or a superuser's, so those accounts are found by their addresses as
/// they are now. The audit log names others, if it has an event with both the address and the account; it has none where
/// failures came before the account.
#[derive(Debug)]
pub struct LockoutOwners {
    /// The accounts of staff and superusers by the fingerprints of their addresses.
    privileged: HashMap<String, user::Model>,
}

impl LockoutOwners {
    /// Reads the accounts of staff and superusers.
    pub async fn load(app: &App) -> Result<Self, ApiError> {
        let users = staff::list_privileged(&app.db).await?;
        let by_fingerprint = |user: user::Model| (fingerprint(app, &user), user);
        Ok(Self {
            privileged: users.into_iter().map(by_fingerprint).collect(),
        })
    }

    /// Returns the account that a lockout concerns, where it is known.
    pub async fn find(&self, app: &App, held: &Lockout) -> Result<Option<user::Model>, ApiError> {
        match &held.whom {
            LockoutSubject::Peer(_) => Ok(None),
            LockoutSubject::Account(id) => Ok(user::find(&app.db, *id).await?),
            LockoutSubject::Mailbox(mailbox) => {
                if let Some(user) = self.privileged.get(mailbox) {
                    return Ok(Some(user.clone()));
                }
                let Some(id) = audit::account_of(&app.db, mailbox).await? else {
                    return Ok(None);
                };
                let user = user::find(&app.db, id).await?;
                Ok(user.filter(|user| fingerprint(app, user) == *mailbox))
            }
        }
    }
}

fn fingerprint(app: &App, user: &user::Model) -> String {
    app.token_hasher.fingerprint(&user.email_key)
}
