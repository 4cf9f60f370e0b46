//! `GET /api/admin/users/{id}/sessions/`, `DELETE /api/admin/users/{id}/sessions/{session}/`: login sessions of an account.

use latchkey_shared::models::{session, user};
use poem::web::Data;
use poem_openapi::{OpenApi, param::Path, payload::Json};

use crate::admin::api::NoContent;
use crate::{
    admin::{
        actions,
        api::token::Token,
        permissions::{ChangeUsers, ViewUsers},
    },
    app_state::App,
    auth::sessions::Session,
    http::{
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
};

/// The calls for sessions.
pub struct SessionsApi;

#[OpenApi]
impl SessionsApi {
    /// List the sessions of an account
    ///
    /// Requires `view_users`. Returns the active sessions, newest first.
    #[oai(
        path = "/api/admin/users/:id/sessions",
        method = "get",
        operation_id = "listAccountSessions",
        tag = "Tag::Administration"
    )]
    async fn list(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ViewUsers>,
        /// The account id.
        Path(id): Path<i64>,
    ) -> Result<Json<Vec<Session>>, ErrorResponses<401, 403, 404>> {
        let (now, idle) = (app.now(), app.config.sessions.idle);
        let user = user::find(&app.db, id).await?.ok_or(ApiError::NotFound)?;
        let mut alive = session::list_alive(&app.db, user.id, now).await?;
        alive.retain(|session| session.is_alive(now, idle));
        Ok(Json(
            alive
                .into_iter()
                .map(|session| Session::of(session, admin.session_id()))
                .collect(),
        ))
    }

    /// End a session of an account
    ///
    /// Requires `change_users`.
    #[oai(
        path = "/api/admin/users/:id/sessions/:session",
        method = "delete",
        operation_id = "endAccountSession",
        tag = "Tag::Administration"
    )]
    async fn end(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ChangeUsers>,
        /// The account id.
        Path(id): Path<i64>,
        /// The session id.
        Path(session): Path<String>,
    ) -> Result<NoContent, ErrorResponses<401, 403, 404>> {
        let session = session.parse().map_err(|_| ApiError::NotFound)?;
        actions::users::end_session(app, &admin, id, session).await?;
        Ok(NoContent::Done)
    }
}
