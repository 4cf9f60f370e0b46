//! The actions that create an account and invite its owner.
//!
//! An invited owner sets the first password by an ordinary password reset, which activates the account. So an invitation contains no
//! code that would have to be valid for days, and a copy of the mail is useless.

use latchkey_shared::{
    database,
    models::{
        audit::Event,
        mail::MailKind,
        user::{self, NewUser},
    },
};

use crate::admin::{
    actions::{begin, commit, write_notice},
    permissions::{AddUsers, Permit},
};
use crate::{
    accounts::new_account::NewAccountData, app_state::App, http::error::ApiError,
    passwords::NewPassword, rate_limit::Limit,
};

/// How a new account gets its first password.
#[derive(Debug)]
pub enum FirstPassword {
    /// Staff chose it. The account is active at once.
    Chosen(NewPassword),
    /// The owner sets it by a password reset, which activates the account.
    ByReset {
        /// Whether an invitation tells the owner.
        invite: bool,
    },
}

impl FirstPassword {
    /// Returns the mail to the owner.
    fn mail(&self) -> Option<MailKind> {
        match self {
            Self::Chosen(_) => Some(MailKind::Activated),
            Self::ByReset { invite } => invite.then_some(MailKind::Invitation),
        }
    }
}

/// Creates an account, and queues the mail to its owner.
pub async fn create(
    app: &App,
    admin: &Permit<AddUsers>,
    account: NewAccountData,
    password: FirstPassword,
) -> Result<user::Model, ApiError> {
    app.count_request(&admin.audit, Limit::Invitation(&admin.user))
        .await?;
    let mail = password.mail();
    let (hash, is_activated) = match password {
        FirstPassword::Chosen(password) => (app.hasher.hash(password).await?, true),
        FirstPassword::ByReset { .. } => (app.hasher.no_password(), false),
    };
    let new = new_user(account, hash, is_activated);
    let transaction = database::begin(&app.db).await?;
    admin.reauthorize(app, &transaction).await?;
    let user = user::insert(&transaction, new, app.now()).await?;
    let mut mails = Vec::new();
    if let Some(kind) = mail {
        mails.push(write_notice(app, &transaction, &admin.audit, &user, kind).await?);
    }
    let detail = match mail {
        Some(MailKind::Invitation) => "created and invited",
        _ => "created",
    };
    let mut event = Event {
        changes: Some(format!("is_activated: {is_activated}")),
        ..admin.audit_event_about(&user, detail)
    };
    event.details.email = Some(user.email.to_string());
    commit(app, transaction, vec![event], mails).await?;
    Ok(user)
}

fn new_user(account: NewAccountData, password_hash: String, is_activated: bool) -> NewUser {
    NewUser {
        email: account.email,
        username: account.username,
        password_hash,
        phone_number: account.phone_number,
        picture: None,
        date_birth: account.date_birth,
        gender: account.gender,
        language: account.language,
        language_chosen: false,
        is_activated,
        pending_email_verification: !is_activated,
        is_superuser: false,
    }
}

/// Why no invitation can be sent.
pub const NOT_INVITABLE: &str = "Only an active account that is pending verification can be invited. Request a password reset instead.";

/// Returns whether an invitation can be sent: the owner can activate the account by a password reset.
#[must_use]
pub fn can_invite(user: &user::Model) -> bool {
    user.is_active && user.pending_email_verification
}

/// Sends the owner of an account an invitation, again or for the first time.
pub async fn invite(app: &App, admin: &Permit<AddUsers>, id: i64) -> Result<(), ApiError> {
    app.count_request(&admin.audit, Limit::Invitation(&admin.user))
        .await?;
    let (transaction, mut users) = begin(app, admin, &[id]).await?;
    let user = users.remove(0);
    if !can_invite(&user) {
        return Err(ApiError::InvalidState(NOT_INVITABLE));
    }
    let kind = MailKind::Invitation;
    let mail = write_notice(app, &transaction, &admin.audit, &user, kind).await?;
    let event = admin.audit_event_about(&user, "invited");
    commit(app, transaction, vec![event], vec![mail]).await
}
