//! `GET /auth/activity/`: recent audit events of the current user.

use chrono::{DateTime, Utc};
use latchkey_shared::models::{audit, session};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, payload::Json};

use crate::{
    app_state::App,
    auth::bearer::ActivatedUser,
    http::{error::responses::ErrorResponses, tag::Tag, user_agent::device_name},
};

/// Maximum number of events in the answer.
const MAX_EVENTS: u64 = 50;

/// An event of the account.
#[derive(Debug, Object)]
struct Activity {
    /// The time of the event.
    at: DateTime<Utc>,
    /// The name of the event in OWASP's logging vocabulary, such as `authn_login_success`.
    event: String,
    /// `success` or `failure`.
    outcome: String,
    /// Whether the owner caused it while logged in. Otherwise an anonymous client or an administrator did.
    own: bool,
    /// The client IP of the request.
    client_ip: Option<String>,
    /// The id of the session, as in `/auth/sessions/`.
    session: Option<String>,
    /// The name of the session's device, as in `/auth/sessions/`; null if the owner did not cause the event, if the session is no
    /// longer stored, or if its device is unknown.
    device_name: Option<String>,
    /// Details.
    detail: Option<String>,
}

/// The call that lists recent events.
pub struct Activities;

#[OpenApi]
impl Activities {
    /// List recent events of your account
    ///
    /// The last 50 events, newest first: successful and failed logins, codes, password changes and ended sessions.
    #[oai(
        path = "/auth/activity",
        method = "get",
        operation_id = "listActivity",
        tag = "Tag::Account"
    )]
    async fn list(
        &self,
        Data(app): Data<&App>,
        ActivatedUser(current): ActivatedUser,
    ) -> Result<Json<Vec<Activity>>, ErrorResponses<401, 403>> {
        let mut events = audit::list_by_user(&app.db, current.user.id, MAX_EVENTS).await?;
        audit::load_details(&app.db, &app.audit_key, &mut events).await?;
        let own = format!("user {}", current.user.id);
        // The device of staff who act on the account is none of its owner's.
        let own_events = events.iter().filter(|event| event.actor == own);
        let sessions = own_events.filter_map(|event| event.session_id);
        let devices = session::user_agents(&app.db, sessions).await?;
        let device = |event: &audit::Model| device_name(devices.get(&event.session_id?)?);
        Ok(Json(
            events
                .into_iter()
                .map(|event| Activity {
                    own: event.actor == own,
                    device_name: device(&event),
                    at: event.at,
                    event: event.event,
                    outcome: event.outcome,
                    client_ip: event.client_ip,
                    session: event.session_id.map(|id| id.to_string()),
                    detail: event.detail,
                })
                .collect(),
        ))
    }
}
