//! What of a request goes into the audit log, how it gets there, and where its head is noted.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use fred::{
    interfaces::KeysInterface as _,
    types::{Expiration, SetOptions},
};
use latchkey_shared::{
    database::{self, Transaction},
    models::audit::{self, Actor, Event, EventKind},
    types::email::{Email, EmailKey},
};
use poem::{FromRequest, Request, RequestBody};
use sea_orm::DbErr;
use uuid::Uuid;

use crate::{
    app_state::App,
    http::{client_ip::ClientIp, error::ApiError, request_context::RequestId},
};

/// What is noted once a minute only, however often it happens: a flood must not fill the log.
const ONCE_SECONDS: i64 = 60;

/// The maximum number of events that [`AuditSampler`] admits in [`ONCE_SECONDS`]. Bounds its memory and the growth of the log.
const MAX_SAMPLED_KEYS: usize = 100;

/// Where a request comes from, for the log.
#[derive(Clone, Debug)]
pub struct AuditContext {
    /// The client.
    pub client_ip: ClientIp,
    request: RequestId,
}

impl<'a> FromRequest<'a> for AuditContext {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self {
            client_ip: ClientIp::from_request(request, body).await?,
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

    fn event(&self, kind: EventKind, actor: Actor, user_id: Option<i64>) -> Event {
        Event {
            kind,
            actor,
            user_id,
            session_id: None,
            subject: None,
            client_ip: self.client_ip.address(),
            request_id: self.request.as_str().to_owned(),
            detail: None,
            changes: None,
        }
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
    pub async fn record(&self, event: Event) -> Result<(), DbErr> {
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

    /// Notes what anybody can cause as often as they like: once a minute for each client, which of IPv6 is a /48. The answer
    /// does not depend on it, so what fails here is logged.
    pub(crate) async fn record_sampled(&self, audit: &AuditContext, what: &str, event: Event) {
        let key = format!(
            "{}:audited:{what}:{}",
            self.config.common.redis_namespace,
            audit
                .client_ip
                .site()
                .unwrap_or_else(|| audit.client_ip.network())
        );
        // In a box, as in `record_in`.
        let first = Box::pin(self.redis.set(
            key.as_str(),
            "",
            Some(Expiration::EX(ONCE_SECONDS)),
            Some(SetOptions::NX),
            false,
        ));
        let first: Result<Option<String>, _> = first.await;
        let is_sampled = match first {
            Ok(set) => set.is_some(),
            Err(_) => self.audit_sampler.admit(key),
        };
        if is_sampled && let Err(error) = self.record(event).await {
            tracing::error!(%error, "Audit event not recorded");
        }
    }
}

/// Samples audit events within this process while Redis fails.
#[derive(Debug, Default)]
pub struct AuditSampler(Mutex<Option<Sample>>);

#[derive(Debug)]
struct Sample {
    since: Instant,
    keys: HashSet<String>,
}

impl AuditSampler {
    /// Returns whether the event with this key is recorded: the first one in [`ONCE_SECONDS`], for at most
    /// [`MAX_SAMPLED_KEYS`] keys.
    fn admit(&self, key: String) -> bool {
        let mut sample = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let period = Duration::from_secs(ONCE_SECONDS.unsigned_abs());
        let current = sample.take().filter(|it| it.since.elapsed() < period);
        let current = sample.insert(current.unwrap_or_else(|| Sample {
            since: Instant::now(),
            keys: HashSet::new(),
        }));
        current.keys.len() < MAX_SAMPLED_KEYS && current.keys.insert(key)
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
