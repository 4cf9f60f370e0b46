//! The removal of accounts whose owners have never verified their emails, where `ACTIVATION=email`. Their emails can then be registered
//! again.

use latchkey_shared::models::{
    audit::{Actor, Event},
    user,
};

use crate::{
    accounts::deletion, app_state::App, config::accounts::Activation, http::error::ApiError,
};

/// Deletes the accounts that have been unverified for `PENDING_ACCOUNT_DAYS`, without a mail. Any number of servers may do this at the
/// same time.
///
/// # Errors
/// See [`deletion::delete_each`].
pub async fn remove_due(app: &App) -> Result<(), ApiError> {
    let is_by_email = app.config.accounts.activation == Activation::Email;
    let age = app.config.common.pending_account_retention;
    let Some(age) = age.filter(|_| is_by_email) else {
        return Ok(());
    };
    let unverified = user::list_unverified_before(&app.db, app.now() - age).await?;
    deletion::delete_each(app, unverified, None, |user| {
        user.is_unverified().then(|| Event {
            detail: Some("never verified".to_owned()),
            ..deletion::event_without_request(Actor::Operator, user.id)
        })
    })
    .await
}
