//! The action by which staff removes the second factors of another account, such as that of an owner who has lost the device.

use latchkey_shared::models::mail::MailKind;

use crate::{
    admin::{
        actions::{begin, commit, ensure_not_own},
        permissions::{ChangeUsers, Permit},
    },
    app_state::App,
    auth::{password_change, second_factor::enrolment},
    http::error::ApiError,
    passwords::CurrentPassword,
};

/// Removes the second factors of an account. Requires the staff member's password, so that a stolen token is not enough. A mail
/// notifies the owner.
pub async fn remove_second_factor(
    app: &App,
    admin: &Permit<ChangeUsers>,
    id: i64,
    password: CurrentPassword,
) -> Result<(), ApiError> {
    let me = admin.current_user()?;
    let action = Some("second factor removed");
    password_change::verify_current(app, &me, password, action, &admin.audit).await?;
    let (transaction, users) = begin(app, admin, &[id]).await?;
    ensure_not_own(admin, &users)?;
    let user = &users[0];
    if !enrolment::remove_all(&transaction, user).await? {
        return Err(ApiError::NoSecondFactor);
    }
    let kind = MailKind::SecondFactorRemoved;
    let mail = enrolment::notify(app, &transaction, kind, user, &admin.audit).await?;
    let event = admin.audit_event_about(user, "second factor removed");
    commit(app, transaction, vec![event], vec![mail]).await?;
    app.limits.reset_second_factor_failures(id).await
}
