//! What of a request goes into the audit log, how it gets there, and where its head is noted.

use std::time::Duration;

use fred::{
    interfaces::KeysInterface as _,
    types::{Expiration, SetOptions},
};
use latchkey_shared::{
    database::{self, Transaction},
    models::audit::{self, Actor, ChainError, Event, EventKind, Watch},
    types::email::{Email, EmailKey},
};
use poem::{FromRequest, Request, RequestBody};
use sea_orm::DbErr;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    admin::permissions::Admin,
    app_state::App,
    http::{client_ip::Peer, error::ApiError, request_context::RequestId},
};

/// What is noted once a minute only, however often it happens: a flood must not fill the log.
const ONCE_SECONDS: i64 = 60;

/// How often the head is looked at.
const WATCHED_EVERY: Duration = Duration::from_mins(10);

/// Where a request comes from, for the log.
#[derive(Clone, Debug)]
pub struct AuditContext {
    /// The client.
    pub peer: Peer,
    request: RequestId,
}

impl<'a> FromRequest<'a> for AuditContext {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self {
            peer: Peer::from_request(request, body).await?,
            request: request
                .data::<RequestId>()
                .cloned()
                .ok_or_else(|| ApiError::Internal("no request id".to_owned()))?,
        })
    }
}

impl AuditContext {
    /// The id of the request.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.request.as_str()
    }

    /// Something that somebody unknown did.
    #[must_use]
    pub fn anonymous(&self, kind: EventKind) -> Event {
        self.event(kind, Actor::Anonymous, None)
    }

    /// Something that the owner of an account did to it.
    #[must_use]
    pub fn own(&self, kind: EventKind, user_id: i64) -> Event {
        self.event(kind, Actor::User(user_id), Some(user_id))
    }

    /// Something that an administrator did.
    #[must_use]
    pub fn by_admin(&self, admin: &Admin, user_id: Option<i64>, what: &str) -> Event {
        Event {
            detail: Some(what.to_owned()),
            session_id: Some(admin.session.id),
            ..self.event(EventKind::Admin, Actor::User(admin.user.id), user_id)
        }
    }

    fn event(&self, kind: EventKind, actor: Actor, user_id: Option<i64>) -> Event {
        Event {
            kind,
            actor,
            user_id,
            session_id: None,
            subject: None,
            peer: self.peer.address(),
            request_id: self.request.as_str().to_owned(),
            detail: None,
            changes: None,
        }
    }

    /// Passes on what a limit says; that it was exceeded is noted, with the address that it was about, if any.
    ///
    /// # Errors
    /// When it was, or the limits could not be asked.
    pub async fn limited<T>(
        &self,
        app: &App,
        what: &str,
        about: Option<&EmailKey>,
        limit: Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        if let Err(ApiError::TooManyRequests(_)) = &limit {
            let event = Event {
                detail: Some(what.to_owned()),
                subject: about.map(|mailbox| app.subject_of(mailbox)),
                ..self.anonymous(EventKind::RateLimitExceeded)
            };
            app.record_sampled(self, what, event).await;
        }
        limit
    }

    /// Notes that somebody asked for what they may not do.
    pub async fn not_permitted(&self, app: &App, user_id: i64) {
        let event = self.own(EventKind::NotPermitted, user_id);
        app.record_sampled(self, "not permitted", event).await;
    }

    /// Notes a token that opens nothing.
    pub async fn bad_token(&self, app: &App, what: &str) {
        let event = Event {
            detail: Some(what.to_owned()),
            ..self.anonymous(EventKind::TokenFail)
        };
        app.record_sampled(self, what, event).await;
    }
}

impl App {
    /// Adds an event to a transaction, of which it has to be the last step.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_in(&self, transaction: &Transaction, event: Event) -> Result<(), DbErr> {
        // In a box, so that nobody keeps room for it before it comes to that.
        Box::pin(audit::append(
            transaction,
            &self.audit_key,
            event,
            self.now(),
        ))
        .await
    }

    /// Notes an event by itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note(&self, event: Event) -> Result<(), DbErr> {
        let transaction = database::begin(&self.db).await?;
        self.record_in(&transaction, event).await?;
        transaction.commit().await
    }

    /// What stands in the log for an address, whether or not somebody has it.
    #[must_use]
    pub fn subject(&self, email: &Email) -> String {
        self.subject_of(&email.key())
    }

    /// The same for the address as it is compared.
    #[must_use]
    pub fn subject_of(&self, mailbox: &EmailKey) -> String {
        let mut subject = self.token_hasher.fingerprint(mailbox);
        subject.truncate(16);
        subject
    }

    /// What stands in the log for a value that tells who somebody is.
    #[must_use]
    pub fn fingerprint(&self, field: &str, value: &str) -> String {
        let mut print = self.token_hasher.name(&format!("{field} {value}"));
        print.truncate(8);
        print
    }

    /// Notes what anybody can cause as often as they like: once a minute for each client. The answer does not depend on
    /// it, so what fails here is logged.
    async fn record_sampled(&self, trail: &AuditContext, what: &str, event: Event) {
        let key = format!(
            "{}:audited:{what}:{}",
            self.config.common.redis_namespace,
            trail.peer.network()
        );
        // In a box, as in `record_in`.
        let first = Box::pin(self.redis.set(
            key,
            "",
            Some(Expiration::EX(ONCE_SECONDS)),
            Some(SetOptions::NX),
            false,
        ));
        let first: Result<Option<String>, _> = first.await;
        match first {
            Ok(None) => {}
            Ok(Some(_)) => {
                if let Err(error) = self.note(event).await {
                    tracing::error!(%error, "An event was not noted.");
                }
            }
            Err(error) => tracing::warn!(%error, "An event was not noted."),
        }
    }
}

/// Writes the head of the audit log into the program's own log, which is kept elsewhere: at the start, at the end, and
/// in between when it has moved. That it does not go through where it was seen is an error there.
pub async fn watch_audit_log(app: App, stop: CancellationToken) {
    let mut watch = Watch::new(app.audit_key.clone());
    let mut describe_filter = None;
    loop {
        let last = stop.is_cancelled();
        match watch.look(&app.db).await {
            Ok(head) => {
                if last || describe_filter.as_ref() != Some(&head) {
                    tracing::info!(audit.head = %head, "The head of the audit log.");
                    describe_filter = Some(head);
                }
            }
            Err(ChainError::Database(error)) => {
                tracing::warn!(%error, "The head of the audit log was not read.");
            }
            Err(broken) => tracing::error!(%broken, "The audit log is not whole."),
        }
        if last {
            return;
        }
        let _ = timeout(WATCHED_EVERY, stop.cancelled()).await;
    }
}

/// Something that an administrator did at the command line.
#[must_use]
pub fn by_operator(kind: EventKind, user_id: i64, detail: &str) -> Event {
    Event {
        kind,
        actor: Actor::Operator,
        user_id: Some(user_id),
        session_id: None,
        subject: None,
        peer: None,
        request_id: "latchkey-api".to_owned(),
        detail: Some(detail.to_owned()),
        changes: None,
    }
}

/// An event of a session.
#[must_use]
pub fn of_session(event: Event, session: Uuid) -> Event {
    Event {
        session_id: Some(session),
        ..event
    }
}
