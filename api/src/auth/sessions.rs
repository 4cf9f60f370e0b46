//! `GET /auth/sessions/`, `DELETE /auth/sessions/{id}/` and `POST /auth/logout_all/`: where somebody is logged in.

use chrono::{DateTime, Utc};
use latchkey_shared::{
    database,
    models::{
        audit::{Event, EventKind},
        session,
    },
};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, param::Path, payload::Json};
use uuid::Uuid;

use crate::http::tag::Tag;
use crate::{
    app_state::App,
    auth::bearer::ActivatedUser,
    http::{
        audit_context::{AuditContext, of_session},
        error::{ApiError, responses::ErrorResponses},
    },
};

/// One login on one device.
#[derive(Debug, Object)]
pub(crate) struct Session {
    /// Names it, to end it.
    id: String,
    /// What the device called itself.
    device: Option<String>,
    /// The address it came from at its login.
    client_ip: Option<String>,
    /// The login.
    created: DateTime<Utc>,
    /// The last login or refresh.
    last_used: DateTime<Utc>,
    /// When it ends by itself.
    expires: DateTime<Utc>,
    /// Whether this very request belongs to it.
    current: bool,
}

#[derive(ApiResponse)]
enum Ended {
    /// It has ended, its access tokens too.
    #[oai(status = 204)]
    Done,
}

/// See the module.
pub struct Sessions;

#[OpenApi]
impl Sessions {
    /// List the own sessions
    ///
    /// Those that are alive, the newest first.
    #[oai(
        path = "/auth/sessions",
        method = "get",
        operation_id = "listSessions",
        tag = "Tag::Session"
    )]
    async fn list(
        &self,
        Data(app): Data<&App>,
        ActivatedUser(current): ActivatedUser,
    ) -> Result<Json<Vec<Session>>, ErrorResponses<401, 403>> {
        let alive = session::list_alive(&app.db, current.user.id, app.now()).await?;
        Ok(Json(
            alive
                .into_iter()
                .filter(|session| session.is_alive(app.now(), app.config.session_idle))
                .map(|session| Session::of(session, current.session.id))
                .collect(),
        ))
    }

    /// End one of the own sessions
    #[oai(
        path = "/auth/sessions/:id",
        method = "delete",
        operation_id = "endSession",
        tag = "Tag::Session"
    )]
    async fn end(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
        /// As the list names it.
        Path(id): Path<String>,
    ) -> Result<Ended, ErrorResponses<401, 403, 404>> {
        let id: Uuid = id.parse().map_err(|_| ApiError::NotFound)?;
        let transaction = database::begin(&app.db).await?;
        current.reauthorize(app, &transaction).await?;
        if !session::revoke_own(&transaction, current.user.id, id, app.now()).await? {
            return Err(ApiError::NotFound.into());
        }
        let event = of_session(audit.own(EventKind::TokenRevoked, current.user.id), id);
        app.record_in(&transaction, event).await?;
        transaction.commit().await?;
        tracing::info!(user.id = current.user.id, session.id = %id, "Session ended by its owner.");
        Ok(Ended::Done)
    }

    /// Log out everywhere
    ///
    /// Ends every session of the account, this one included.
    #[oai(
        path = "/auth/logout_all",
        method = "post",
        operation_id = "logoutAll",
        tag = "Tag::Session"
    )]
    async fn logout_all(
        &self,
        Data(app): Data<&App>,
        audit: AuditContext,
        ActivatedUser(current): ActivatedUser,
    ) -> Result<Ended, ErrorResponses<401, 403>> {
        let transaction = database::begin(&app.db).await?;
        current.reauthorize(app, &transaction).await?;
        session::revoke_all(&transaction, current.user.id, app.now()).await?;
        let event = Event {
            detail: Some("every session".to_owned()),
            ..audit.own(EventKind::TokenRevoked, current.user.id)
        };
        app.record_in(&transaction, event).await?;
        transaction.commit().await?;
        tracing::info!(user.id = current.user.id, "Logged out everywhere.");
        Ok(Ended::Done)
    }
}

impl Session {
    pub(crate) fn of(row: session::Model, current: Uuid) -> Self {
        Self {
            id: row.id.to_string(),
            device: row.user_agent,
            client_ip: row.client_ip,
            created: row.created_at,
            last_used: row.last_used_at,
            expires: row.expires_at,
            current: row.id == current,
        }
    }
}
