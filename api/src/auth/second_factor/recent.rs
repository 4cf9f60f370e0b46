//! Asks a session for a second factor again before calls that change how an account is accessed.

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    database::Transaction,
    models::{session, user},
};

use crate::{app_state::App, auth::bearer::CurrentUser, http::error::ApiError};

/// How long a session needs no further second factor after it has proved one.
pub const RECENT: TimeDelta = TimeDelta::minutes(5);

/// Checks that a session has proved a second factor recently, if its account has one.
pub fn check(
    user: &user::Model,
    session: &session::Model,
    now: DateTime<Utc>,
) -> Result<(), ApiError> {
    let is_recent = session.second_factor_at.is_some_and(|at| now < at + RECENT);
    if user.second_factor_at.is_none() || is_recent {
        return Ok(());
    }
    Err(ApiError::RecentSecondFactorRequired)
}

impl CurrentUser {
    /// Checks that the session has proved a second factor recently, if the account has one.
    pub fn check_second_factor(&self, app: &App) -> Result<(), ApiError> {
        check(&self.user, &self.session, app.now())
    }

    /// Repeats the authentication like [`CurrentUser::reauthorize`], and the check of the second factor: the account may have got one
    /// since the head of the request arrived.
    pub async fn reauthorize_with_second_factor(
        &self,
        app: &App,
        transaction: &Transaction,
    ) -> Result<user::Model, ApiError> {
        let (session, user) = self.lock(app, transaction).await?;
        check(&user, &session, app.now())?;
        Ok(user)
    }
}
