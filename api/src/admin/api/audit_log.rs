//! `GET /api/admin/audit/`, `POST /api/admin/audit/verify/`: the audit log and its verification.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use latchkey_shared::models::audit::{self, Details, EventKind, Filter};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, payload::Json};

use crate::admin::{
    api::{default_limit, parse_parameter},
    paginate,
};
use crate::{
    admin::{actions, api::token::Token, permissions::Audit},
    app_state::App,
    http::{error::responses::ErrorResponses, tag::Tag},
};

/// A page of the audit log.
#[derive(Debug, Object)]
struct AuditList {
    /// Newest first.
    events: Vec<AuditEvent>,
    /// The value of `before` for the next page; null on the last page.
    before: Option<i64>,
}

/// An audit event.
#[derive(Debug, Object)]
struct AuditEvent {
    /// The position in the hash chain.
    seq: i64,
    /// The time of the event.
    at: DateTime<Utc>,
    /// The kind, from OWASP's logging vocabulary, such as `authn_login_success`.
    event: String,
    /// `success` or `failure`.
    outcome: String,
    /// The actor: `user 7`, `operator` (command line) or `anonymous`.
    actor: String,
    /// The id of the affected account.
    user: Option<i64>,
    /// The id of the session; null without one, such as for a request with an API token.
    session: Option<String>,
    /// A fingerprint of the entered email address.
    subject: Option<String>,
    /// The client IP; null if no client caused the event, or if it was erased (`AUDIT_DETAILS_DAYS`).
    client_ip: Option<String>,
    /// The request id.
    request: String,
    /// Details.
    detail: Option<String>,
    /// The changes by an administrator, one per line: `field: before → after`. Personal data appears as fingerprints.
    changes: Option<String>,
    /// The readable values; null if the event has none, or if they were erased (`AUDIT_DETAILS_DAYS`).
    details: Option<AuditDetails>,
}

/// The readable values of an audit event.
#[derive(Debug, Object)]
struct AuditDetails {
    /// The name of the actor at the time of the event.
    actor_name: Option<String>,
    /// The name of the affected account at the time of the event.
    account_name: Option<String>,
    /// The name of the affected role at the time of the event.
    role_name: Option<String>,
    /// The id of the API token that authorized the request; null for a session.
    api_token_id: Option<String>,
    /// The name of that API token, or of the one that was created or revoked.
    api_token_name: Option<String>,
    /// The email address that the client entered, or that of a created or deleted account or of a mail.
    email: Option<String>,
    /// The personal data before and after a change.
    changes: Vec<AuditValueChange>,
}

/// The change of a field.
#[derive(Debug, Object)]
struct AuditValueChange {
    /// The name of the field.
    field: String,
    /// The value before the change; null if there was none.
    before: Option<String>,
    /// The value after the change; null if there is none.
    after: Option<String>,
}

/// The result of a verification.
#[derive(Debug, Object)]
struct AuditVerification {
    /// Whether no event was altered, removed, added or moved.
    whole: bool,
    /// The number of events; null if the log is not intact.
    events: Option<i64>,
    /// The chain head, `number:hash`, to store elsewhere; null if the log is not intact.
    head: Option<String>,
    /// The first error.
    broken: Option<String>,
}

/// An actor filter.
struct Actor(String);

impl FromStr for Actor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_user = text
            .strip_prefix("user ")
            .is_some_and(|id| id.parse::<i64>().is_ok());
        if is_user || matches!(text, "operator" | "anonymous") {
            Ok(Self(text.to_owned()))
        } else {
            Err(())
        }
    }
}

/// An event kind filter.
struct Kind(&'static str);

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut names = EventKind::ALL.iter().map(|kind| kind.as_str());
        names.find(|name| *name == text).map(Self).ok_or(())
    }
}

impl AuditEvent {
    fn of(row: audit::Model, details: Option<Details>) -> Self {
        Self {
            seq: row.seq,
            at: row.at,
            event: row.event,
            outcome: row.outcome,
            actor: row.actor,
            user: row.user_id,
            session: row.session_id.map(|id| id.to_string()),
            subject: row.subject,
            client_ip: row.client_ip,
            request: row.request_id,
            detail: row.detail,
            changes: row.changes,
            details: details.map(AuditDetails::of),
        }
    }
}

impl AuditDetails {
    fn of(details: Details) -> Self {
        let changes = details.changes.into_iter();
        Self {
            actor_name: details.actor_name,
            account_name: details.account_name,
            role_name: details.role_name,
            api_token_id: details.api_token_id,
            api_token_name: details.api_token_name,
            email: details.email,
            changes: changes
                .map(|change| AuditValueChange {
                    field: change.field,
                    before: change.before,
                    after: change.after,
                })
                .collect(),
        }
    }
}

/// The calls for the audit log.
pub struct AuditLogApi;

#[OpenApi]
impl AuditLogApi {
    /// Read the audit log
    ///
    /// Requires `audit`.
    #[oai(
        path = "/api/admin/audit",
        method = "get",
        operation_id = "listAuditEvents",
        tag = "Tag::Administration"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is one parameter")]
    async fn list(
        &self,
        Data(app): Data<&App>,
        _admin: Token<Audit>,
        /// Only events that affect this account or were caused by it.
        Query(user): Query<Option<i64>>,
        /// Only events of this actor: `user 7`, `operator` or `anonymous`.
        Query(actor): Query<Option<String>>,
        /// Only events of this kind, such as `authn_login_fail`.
        Query(event): Query<Option<String>>,
        /// Only events older than this one.
        Query(before): Query<Option<i64>>,
        /// Maximum number of results.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "500"))
        )]
        Query(limit): Query<u16>,
    ) -> Result<Json<AuditList>, ErrorResponses<400, 401, 403>> {
        let filter = Filter {
            user_id: user,
            actor: parse_parameter("actor", actor)?.map(|Actor(name)| name),
            event: parse_parameter("event", event)?.map(|Kind(name)| name.to_owned()),
            before,
            ..Filter::default()
        };
        let rows = audit::list(&app.db, filter, u64::from(limit) + 1).await?;
        let (mut rows, before) = paginate(rows, limit.into(), |row| row.seq);
        let mut details = audit::load_details(&app.db, &app.audit_key, &mut rows).await?;
        let event = |row: audit::Model| {
            let details = details.remove(&row.seq);
            AuditEvent::of(row, details)
        };
        Ok(Json(AuditList {
            events: rows.into_iter().map(event).collect(),
            before,
        }))
    }

    /// Verify the audit log
    ///
    /// Requires `audit`. Reads the whole hash chain. Only one verification runs at a time.
    #[oai(
        path = "/api/admin/audit/verify",
        method = "post",
        operation_id = "verifyAuditLog",
        tag = "Tag::Administration"
    )]
    async fn verify(
        &self,
        Data(app): Data<&App>,
        _admin: Token<Audit>,
    ) -> Result<Json<AuditVerification>, ErrorResponses<401, 403>> {
        Ok(Json(match actions::audit_log::verify(app).await? {
            Ok(head) => AuditVerification {
                whole: true,
                events: Some(head.seq),
                head: Some(format!("{}:{}", head.seq, head.hash)),
                broken: None,
            },
            Err(error) => AuditVerification {
                whole: false,
                events: None,
                head: None,
                broken: Some(error.to_string()),
            },
        }))
    }
}
