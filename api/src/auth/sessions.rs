//! `GET /auth/sessions/`, `DELETE /auth/sessions/{id}/` and `POST /auth/logout_all/`: the sessions of the current user.

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

use crate::{
    app_state::App,
    auth::bearer::{ActivatedUser, CurrentUser},
    http::{
        audit_context::{AuditContext, with_session},
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
        user_agent::device_name,
    },
};

/// A session of an account on one device.
#[derive(Debug, Object)]
pub(crate) struct Session {
    /// The id of the session.
    id: String,
    /// The `User-Agent` of the login.
    device: Option<String>,
    /// The readable name of the device, derived from its `User-Agent`, such as `Chrome on Windows`; null if unknown.
    device_name: Option<String>,
    /// The client IP of the login.
    client_ip: Option<String>,
    /// The time of the login.
    created: DateTime<Utc>,
    /// The time of the login or the last refresh.
    last_used: DateTime<Utc>,
    /// The time at which the session expires.
    expires: DateTime<Utc>,
    /// Whether this request belongs to the session.
    current: bool,
}

#[derive(ApiResponse)]
enum Ended {
    /// The session has ended, and its access tokens are no longer valid.
    #[oai(status = 204)]
    Done,
}

/// The calls for the sessions of the current user.
pub struct Sessions;

#[OpenApi]
impl Sessions {
    /// List your sessions
    ///
    /// Lists live sessions, newest first.
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
                .filter(|session| session.is_alive(app.now(), app.config.sessions.idle))
                .map(|session| Session::of(session, Some(current.session.id)))
                .collect(),
        ))
    }

    /// End one of your sessions
    ///
    /// Its refresh token and access tokens stop working at once.
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
        /// The id from the list of sessions.
        Path(id): Path<String>,
    ) -> Result<Ended, ErrorResponses<401, 403, 404>> {
        let id = id.parse().map_err(|_| ApiError::NotFound)?;
        end(app, &current, id, &audit).await?;
        Ok(Ended::Done)
    }

    /// Log out everywhere
    ///
    /// Ends every session of the account, including this one.
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
        tracing::info!(user.id = current.user.id, "Logged out of all sessions");
        Ok(Ended::Done)
    }
}

/// Ends a session of a user.
pub async fn end(
    app: &App,
    current: &CurrentUser,
    id: Uuid,
    audit: &AuditContext,
) -> Result<(), ApiError> {
    let transaction = database::begin(&app.db).await?;
    current.reauthorize(app, &transaction).await?;
    if !session::revoke_own(&transaction, current.user.id, id, app.now()).await? {
        return Err(ApiError::NotFound);
    }
    let event = with_session(audit.own(EventKind::TokenRevoked, current.user.id), id);
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    tracing::info!(user.id = current.user.id, session.id = %id, "Session ended by its owner");
    Ok(())
}

impl Session {
    /// Describes a session to its owner or to staff. `current` is the session of the request, if it has one.
    pub(crate) fn of(row: session::Model, current: Option<Uuid>) -> Self {
        Self {
            id: row.id.to_string(),
            device_name: row.user_agent.as_deref().and_then(device_name),
            device: row.user_agent,
            client_ip: row.client_ip,
            created: row.created_at,
            last_used: row.last_used_at,
            expires: row.expires_at,
            current: current == Some(row.id),
        }
    }
}
