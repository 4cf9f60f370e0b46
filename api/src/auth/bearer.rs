//! Bearer authentication: a handler that takes an [`ActivatedUser`] runs only for requests with a valid access token.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    database::Transaction,
    models::{session, user},
};
use poem::Request;
use poem_openapi::{SecurityScheme, auth::Bearer};

use crate::{
    app_state::App,
    auth::{
        jwt::{VerifiedToken, issuer::Rejection},
        original_session,
    },
    http::error::ApiError,
};

/// An access token of a user whose account is activated. Calls under `/api/admin/` also take an API token (`lk_…`), which staff create
/// in the dashboard for scripts and services.
#[derive(SecurityScheme)]
#[oai(
    rename = "bearerAuth",
    ty = "bearer",
    bearer_format = "JWT",
    checker = "activated_user"
)]
pub struct ActivatedUser(pub CurrentUser);

/// The authenticated user of a request.
pub struct CurrentUser {
    /// The account.
    pub user: user::Model,
    /// The session of the token.
    pub session: session::Model,
}

impl CurrentUser {
    /// Repeats the authentication as the first step of a transaction, and locks the session and the account until its end.
    /// Returns the current row of the account.
    ///
    /// The body of a request may arrive long after its head, and the session may have ended in between.
    pub async fn reauthorize(
        &self,
        app: &App,
        transaction: &Transaction,
    ) -> Result<user::Model, ApiError> {
        let (_, user) = self.lock(app, transaction).await?;
        Ok(user)
    }

    /// Does the same as [`Self::reauthorize`], and also returns the current row of the session.
    pub(super) async fn lock(
        &self,
        app: &App,
        transaction: &Transaction,
    ) -> Result<(session::Model, user::Model), ApiError> {
        let (id, idle) = (self.session.id, app.config.sessions.idle);
        let locked = session::lock_alive(transaction, id, app.now(), idle).await?;
        let (session, user) = locked.ok_or(ApiError::NotAuthenticated)?;
        // Staff may use the dashboard without an activation.
        if self.user.is_activated && !user.is_activated {
            return Err(ApiError::NotActivated);
        }
        Ok((session, user))
    }
}

/// Authenticates a request whose account is activated.
async fn activated_user(request: &Request, bearer: Bearer) -> poem::Result<CurrentUser> {
    let app = App::of(request)?;
    let current = authenticate(app, request, &bearer.token).await?;
    if !current.user.is_activated {
        return Err(ApiError::NotActivated.into());
    }
    Ok(current)
}

/// Verifies an access token, and loads its session and user with one query.
async fn authenticate(app: &App, request: &Request, token: &str) -> Result<CurrentUser, ApiError> {
    let now = app.now();
    let found = if let Ok(original) = app.tokens.verify_original_access(token, now) {
        // Boxed, as few requests have such a token.
        Box::pin(original_session::find(app, &original, request)).await?
    } else {
        let verified = verify(app, token, now).await?;
        let found = app.sessions.find_alive(verified.session, now).await?;
        found.filter(|(_, user)| user.id == verified.user_id)
    };
    found
        .map(|(session, user)| CurrentUser { user, session })
        .ok_or(ApiError::NotAuthenticated)
}

/// Verifies an access token. Loads the signing keys if it names an unknown one, which another server may have just created.
async fn verify(app: &App, token: &str, now: DateTime<Utc>) -> Result<VerifiedToken, ApiError> {
    let mut verified = app.tokens.verify_access(token, now);
    if let Err(Rejection::UnknownKey(kid)) = &verified {
        app.signing_keys.look_up(&app.tokens, kid, now).await?;
        verified = app.tokens.verify_access(token, now);
    }
    verified.map_err(|_| ApiError::NotAuthenticated)
}
