//! The action by which a superuser sends the codes of password resets to an unconfirmed email.

use latchkey_shared::models::{password_reset, user};

use crate::{
    admin::{
        actions::{begin, commit},
        permissions::{Permit, Superuser},
    },
    app_state::App,
    auth::password_change,
    http::error::ApiError,
    passwords::CurrentPassword,
};

/// Why an email cannot be trusted.
pub const TRUSTED: &str =
    "Codes for password resets go to this email already. There is nothing left to do.";

/// Trusts the current email of an account. Requires the superuser's password, so that a stolen token is not enough.
pub async fn trust_email(
    app: &App,
    admin: &Permit<Superuser>,
    id: i64,
    password: CurrentPassword,
) -> Result<(), ApiError> {
    if admin.user.id == id {
        return Err(ApiError::OwnAccount);
    }
    let me = admin.current_user()?;
    let action = Some("email trusted");
    password_change::verify_current(app, &me, password, action, &admin.audit).await?;
    let (transaction, users) = begin(app, admin, &[id]).await?;
    password_reset::end_all(&transaction, id, app.now()).await?;
    if !user::trust_email(&transaction, id, app.now()).await? {
        return Err(ApiError::InvalidState(TRUSTED));
    }
    let mut event = admin.audit_event_about(&users[0], "email trusted");
    event.details.email = Some(users[0].email.to_string());
    commit(app, transaction, vec![event], Vec::new()).await
}
