//! The removal of accounts whose owners have never verified their emails, where `ACTIVATION=email`. Their emails can then be registered
//! again.

use latchkey_shared::{
    database,
    models::{
        audit::{Actor, Event},
        user,
    },
};

use crate::{
    accounts::deletion, app_state::App, config::accounts::Activation, http::error::ApiError,
};

/// Deletes the accounts that have been unverified for `PENDING_ACCOUNT_DAYS`, without a mail. Any number of servers may do this at the
/// same time.
///
/// # Errors
/// Fails if the database does. Of an account that cannot be deleted for another reason, the failure is logged.
pub async fn remove_due(app: &App) -> Result<(), ApiError> {
    let is_by_email = app.config.accounts.activation == Activation::Email;
    let age = app.config.common.pending_account_retention;
    let Some(age) = age.filter(|_| is_by_email) else {
        return Ok(());
    };
    let cutoff = app.now() - age;
    for id in user::list_unverified_before(&app.db, cutoff).await? {
        match remove_if_unverified(app, id).await {
            Err(error) if error.dependency_failure().is_some() => return Err(error),
            Err(error) => app.report_failure(&error, "Unverified account not deleted"),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Deletes an account if it is still unverified once its row is locked.
async fn remove_if_unverified(app: &App, id: i64) -> Result<(), ApiError> {
    let transaction = database::begin(&app.db).await?;
    let user = user::lock(&transaction, id).await?;
    let Some(user) = user.filter(user::Model::is_unverified) else {
        return Ok(());
    };
    let event = Event {
        detail: Some("never verified".to_owned()),
        ..deletion::event_without_request(Actor::Operator, id)
    };
    let deleted = deletion::delete(app, &transaction, user, event, None).await?;
    transaction.commit().await?;
    deleted.finish(app).await;
    Ok(())
}
