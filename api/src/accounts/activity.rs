//! `GET /auth/activity/`: what happened to the own account lately.

use chrono::{DateTime, Utc};
use latchkey_shared::models::audit;
use poem::web::Data;
use poem_openapi::{Object, OpenApi, payload::Json};

use crate::http::tag::Tag;
use crate::{app_state::App, auth::bearer::ActivatedUser, http::error::responses::ErrorResponses};

/// How many events are shown.
const SHOWN: u64 = 50;

/// One thing that happened.
#[derive(Debug, Object)]
struct Activity {
    /// When.
    at: DateTime<Utc>,
    /// What, in the words of OWASP's logging vocabulary, such as `authn_login_success`.
    event: String,
    /// `success` or `failure`.
    outcome: String,
    /// Whether the owner did it, logged in; else it was somebody who had not shown who it is, or an administrator.
    own: bool,
    /// The address it came from.
    client_ip: Option<String>,
    /// The session it is about, as `/auth/sessions/` names it.
    session: Option<String>,
    /// What else there is to say.
    detail: Option<String>,
}

/// See the module.
pub struct Activities;

#[OpenApi]
impl Activities {
    /// List the own account's last events
    ///
    /// Logins that worked and that did not, codes, changes of the password, ended sessions: the last 50, the newest first.
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
        let events = audit::list_by_user(&app.db, current.user.id, SHOWN).await?;
        let own = format!("user {}", current.user.id);
        Ok(Json(
            events
                .into_iter()
                .map(|event| Activity {
                    own: event.actor == own,
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
