//! `POST /auth/logout/`

use latchkey_shared::{
    database,
    models::{audit::EventKind, session},
};
use poem::{Request, web::Data};
use poem_openapi::{ApiResponse, OpenApi, payload::Response};

use crate::{
    app_state::App,
    auth::{
        refresh::{PresentedToken, RefreshRequest, present, revoke_on_reuse},
        refresh_cookie,
    },
    http::{
        audit_context::{AuditContext, with_session},
        body::Body,
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
};

#[derive(ApiResponse)]
enum LoggedOut {
    /// The session has ended.
    #[oai(status = 204)]
    Done,
}

/// The call that ends a session.
pub struct Logout;

#[OpenApi]
impl Logout {
    /// Log out
    ///
    /// Ends the session of the refresh token and invalidates its access tokens. With `REFRESH_ROTATION=on`, a token that was
    /// replaced within the last 10 seconds is accepted. An older one ends the session, too, but the answer is 401: its use
    /// means that two clients have it.
    #[oai(
        path = "/auth/logout",
        method = "post",
        operation_id = "logout",
        tag = "Tag::Session"
    )]
    async fn logout(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        request: &Request,
        body: Body<'_, RefreshRequest>,
    ) -> Result<Response<LoggedOut>, ErrorResponses<400, 401, 403, 413, 415>> {
        let fields = body.read().await?.fields;
        let (token, in_cookie) = refresh_cookie::read_token(app, request, fields)?;
        let presented = present(app, request, &token, "logout", &audit).await?;
        if !presented.is_current(app) {
            handle_replaced_token(app, &presented, &audit).await?;
        }
        let (session, user) = (presented.session, presented.user);
        let transaction = database::begin(&app.db).await?;
        session::revoke(&transaction, session.id, app.now()).await?;
        let event = with_session(audit.own(EventKind::TokenRevoked, user.id), session.id);
        app.record_in(&transaction, event).await?;
        transaction.commit().await?;
        tracing::info!(user.id, session.id = %session.id, "Logged out");
        Ok(if in_cookie {
            refresh_cookie::without_cookie(app, LoggedOut::Done)
        } else {
            Response::new(LoggedOut::Done)
        })
    }
}

/// Accepts a refresh token that was replaced just now, as its client may not have received the new one. Refuses an older
/// one as reused.
async fn handle_replaced_token(
    app: &App,
    presented: &PresentedToken,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    if !app.config.sessions.rotation {
        audit.record_invalid_token(app, "logout").await;
    } else if presented.current_if_just_replaced(app).is_some() {
        return Ok(());
    } else {
        revoke_on_reuse(app, presented, audit).await?;
    }
    Err(ApiError::InvalidRefreshToken)
}
