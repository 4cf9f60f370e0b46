//! `GET /api/admin/audit/`, `POST /api/admin/audit/verify/`: the audit log, and whether its chain is whole.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use latchkey_shared::models::audit::{self, EventKind, Filter};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Query, payload::Json};

use crate::admin::api::{page, read, usual};
use crate::http::tag::Tag;
use crate::{
    admin::{api::token::Token, dashboard::pages::audit_log::verify_alone, permissions::Audit},
    app_state::App,
    http::error::responses::ErrorResponses,
};

/// A page of the audit log.
#[derive(Debug, Object)]
struct AuditList {
    /// The newest first.
    events: Vec<AuditEvent>,
    /// What `before` has to be for the next page; null on the last one.
    before: Option<i64>,
}

/// One thing that happened.
#[derive(Debug, Object)]
struct AuditEvent {
    /// Its place in the chain.
    seq: i64,
    /// When.
    at: DateTime<Utc>,
    /// What, in the words of OWASP's logging vocabulary, such as `authn_login_success`.
    event: String,
    /// `success` or `failure`.
    outcome: String,
    /// Who did it: `user 7`, `operator` at the command line, or `anonymous`.
    actor: String,
    /// The account it was done to.
    user: Option<i64>,
    /// The session it is about.
    session: Option<String>,
    /// A fingerprint of the address that was given.
    subject: Option<String>,
    /// The client's address.
    peer: Option<String>,
    /// The request.
    request: String,
    /// What else there is to say.
    detail: Option<String>,
    /// What an administrator changed: `field: before → after`, a line each; what tells who somebody is as fingerprints.
    changes: Option<String>,
}

/// What came of reading the whole chain.
#[derive(Debug, Object)]
struct Verified {
    /// Whether none was altered, removed, added or moved.
    whole: bool,
    /// How many events there are; null when it is not whole.
    events: Option<i64>,
    /// The end of the chain, `number:hash`, to note elsewhere; null when it is not whole.
    head: Option<String>,
    /// The first thing that is wrong.
    broken: Option<String>,
}

/// An actor as the log writes them.
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

/// The name of a kind of event.
struct Kind(&'static str);

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut names = EventKind::ALL.iter().map(|kind| kind.as_str());
        names.find(|name| *name == text).map(Self).ok_or(())
    }
}

impl AuditEvent {
    fn of(row: audit::Model) -> Self {
        Self {
            seq: row.seq,
            at: row.at,
            event: row.event,
            outcome: row.outcome,
            actor: row.actor,
            user: row.user_id,
            session: row.session_id.map(|id| id.to_string()),
            subject: row.subject,
            peer: row.peer,
            request: row.request_id,
            detail: row.detail,
            changes: row.changes,
        }
    }
}

/// See the module.
pub struct Log;

#[OpenApi]
impl Log {
    /// Read the audit log
    ///
    /// Needs `audit`.
    #[oai(
        path = "/api/admin/audit",
        method = "get",
        operation_id = "listEvents",
        tag = "Tag::Administration"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is one parameter")]
    async fn list(
        &self,
        Data(app): Data<&App>,
        _admin: Token<Audit>,
        /// About this account, or done by it.
        Query(user): Query<Option<i64>>,
        /// Done by them: `user 7`, `operator` or `anonymous`.
        Query(actor): Query<Option<String>>,
        /// Of this kind, such as `authn_login_fail`.
        Query(event): Query<Option<String>>,
        /// Older than this one.
        Query(before): Query<Option<i64>>,
        /// How many at most.
        #[oai(
            default = "usual",
            validator(minimum(value = "1"), maximum(value = "500"))
        )]
        Query(limit): Query<u16>,
    ) -> Result<Json<AuditList>, ErrorResponses<400, 401, 403>> {
        let filter = Filter {
            user_id: user,
            actor: read("actor", actor)?.map(|Actor(name)| name),
            event: read("event", event)?.map(|Kind(name)| name.to_owned()),
            before,
            ..Filter::default()
        };
        let rows = audit::list(&app.db, filter, u64::from(limit) + 1).await?;
        let (rows, before) = page(rows, limit, |row| row.seq);
        Ok(Json(AuditList {
            events: rows.into_iter().map(AuditEvent::of).collect(),
            before,
        }))
    }

    /// Verify the audit log
    ///
    /// Needs `audit`. Reads the whole chain.
    #[oai(
        path = "/api/admin/audit/verify",
        method = "post",
        operation_id = "verifyEvents",
        tag = "Tag::Administration"
    )]
    async fn verify(
        &self,
        Data(app): Data<&App>,
        _admin: Token<Audit>,
    ) -> Result<Json<Verified>, ErrorResponses<401, 403>> {
        match verify_alone(app).await? {
            Ok(head) => Ok(Json(Verified {
                whole: true,
                events: Some(head.seq),
                head: Some(format!("{}:{}", head.seq, head.hash)),
                broken: None,
            })),
            Err(broken) => {
                tracing::error!(%broken, "The audit log is not whole.");
                Ok(Json(Verified {
                    whole: false,
                    events: None,
                    head: None,
                    broken: Some(broken.to_string()),
                }))
            }
        }
    }
}
