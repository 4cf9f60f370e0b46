//! Permission as a parameter: a handler that takes an [`ActivatedUser`] runs for nobody else.

use latchkey_shared::{
    database::Transaction,
    models::{session, user},
};
use poem::Request;
use poem_openapi::{SecurityScheme, auth::Bearer};

use crate::{app_state::App, http::error::ApiError};

/// Somebody with a living access token whose account is activated.
#[derive(SecurityScheme)]
#[oai(
    rename = "bearerAuth",
    ty = "bearer",
    bearer_format = "JWT",
    checker = "activated_user"
)]
pub struct ActivatedUser(pub CurrentUser);

/// Who sends a request.
pub struct CurrentUser {
    /// The account.
    pub user: user::Model,
    /// The login that the token is of.
    pub session: session::Model,
}

impl CurrentUser {
    /// Asks once more, as the first step of the transaction of a change: the last byte of a request may come long after
    /// its head, and the session may have ended meanwhile. From here to the end of the transaction nobody ends it or
    /// changes the account, which is returned as it is now.
    ///
    /// # Errors
    /// When the session has ended, the account was shut or its activation taken back, or the database fails.
    pub async fn reauthorize(
        &self,
        app: &App,
        transaction: &Transaction,
    ) -> Result<user::Model, ApiError> {
        let (id, idle) = (self.session.id, app.config.session_idle);
        let held = session::lock_alive(transaction, id, app.now(), idle).await?;
        let (_, user) = held.ok_or(ApiError::NotAuthenticated)?;
        // The dashboard lets staff in without an activation.
        if self.user.is_activated && !user.is_activated {
            return Err(ApiError::NotActivated);
        }
        Ok(user)
    }
}

/// Verifies the token, then asks the database once: the session, joined with its user.
async fn activated_user(request: &Request, bearer: Bearer) -> poem::Result<CurrentUser> {
    let app = request
        .data::<App>()
        .ok_or_else(|| ApiError::Internal("no state".to_owned()))?;
    let signed_in = sign_in(app, &bearer.token).await?;
    if !signed_in.user.is_activated {
        return Err(ApiError::NotActivated.into());
    }
    Ok(signed_in)
}

async fn sign_in(app: &App, token: &str) -> Result<CurrentUser, ApiError> {
    let now = app.now();
    let verified = app
        .tokens
        .verify_access(token, now)
        .map_err(|_| ApiError::NotAuthenticated)?;
    app.sessions
        .find_alive(verified.session, now)
        .await?
        .filter(|(_, user)| user.id == verified.user_id)
        .map(|(session, user)| CurrentUser { user, session })
        .ok_or(ApiError::NotAuthenticated)
}
