//! Records audit events of requests.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use fred::{
    interfaces::KeysInterface as _,
    types::{Expiration, SetOptions},
};
use latchkey_shared::{
    database::{self, Transaction},
    models::audit::{self, Actor, Details, Event, EventKind},
    types::email::EmailKey,
};
use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderValue, header},
};
use sea_orm::DbErr;
use uuid::Uuid;

use crate::{
    app_state::App,
    http::{body, client_ip::ClientIp, error::ApiError, request_context::RequestId, user_agent},
};

/// The period of sampled events, in seconds. A flood of requests must not fill the log.
const SAMPLE_SECONDS: i64 = 60;

/// The maximum number of sampled events of one kind of this process in [`SAMPLE_SECONDS`]. Bounds the keys in Redis and the growth of the log.
const MAX_SAMPLED_KEYS: usize = 1_000;

/// The origin of a request, for its audit events.
#[derive(Clone, Debug)]
pub struct AuditContext {
    /// The client IP.
    pub client_ip: ClientIp,
    /// Whether the body may be larger than [`SMALL`](crate::http::body::SMALL).
    pub has_large_body: bool,
    request: RequestId,
    user_agent: Option<HeaderValue>,
}

impl<'a> FromRequest<'a> for AuditContext {
    async fn from_request(request: &'a Request, unread: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self {
            client_ip: ClientIp::from_request(request, unread).await?,
            has_large_body: body::may_be_large(request),
            request: request
                .data::<RequestId>()
                .cloned()
                .ok_or_else(|| ApiError::Internal("no request id".to_owned()))?,
            user_agent: request.headers().get(header::USER_AGENT).cloned(),
        })
    }
}

impl AuditContext {
    /// Returns the request id.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.request.as_str()
    }

    /// Returns the known browser and system of the request, if any.
    #[must_use]
    pub fn known_device(&self) -> Option<String> {
        user_agent::known_device(self.user_agent.as_ref()?.to_str().ok()?)
    }

    /// Returns an event of an unauthenticated client.
    #[must_use]
    pub fn anonymous(&self, kind: EventKind) -> Event {
        self.event(kind, Actor::Anonymous, None)
    }

    /// Returns an event that the owner of an account causes.
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
            details: Details::default(),
        }
    }

    /// Records an invalid token. `kind` names the token or the call.
    pub async fn record_invalid_token(&self, app: &App, kind: &str) {
        let event = Event {
            detail: Some(kind.to_owned()),
            ..self.anonymous(EventKind::TokenFail)
        };
        app.record_sampled(self, kind, event).await;
    }
}

impl App {
    /// Records an event within a transaction, as its last step.
    pub async fn record_in(&self, transaction: &Transaction, event: Event) -> Result<(), DbErr> {
        // Boxed, so that the caller's future does not hold memory for it.
        Box::pin(audit::append(
            transaction,
            &self.audit_key,
            event,
            self.now(),
        ))
        .await
    }

    /// Records an event in a transaction of its own.
    pub async fn record(&self, event: Event) -> Result<(), DbErr> {
        let transaction = database::begin(&self.db).await?;
        self.record_in(&transaction, event).await?;
        transaction.commit().await
    }

    /// Returns the fingerprint that stands for an email in the audit log.
    #[must_use]
    pub fn audit_subject(&self, mailbox: &EmailKey) -> String {
        let mut subject = self.fingerprints.of_mailbox(mailbox);
        subject.truncate(16);
        subject
    }

    /// Returns the fingerprint that stands for personal data in the audit log.
    #[must_use]
    pub fn fingerprint(&self, field: &str, value: &str) -> String {
        let mut print = self.fingerprints.of_field(field, value);
        print.truncate(8);
        print
    }

    /// Records an event that clients can cause at will: once in [`SAMPLE_SECONDS`] for each client network (IPv6: /48) and
    /// `kind`. Events of anonymous clients, of which there may be any number, are recorded at most [`MAX_SAMPLED_KEYS`] times for each
    /// kind. Logs errors, as the response does not depend on the event.
    pub(crate) async fn record_sampled(&self, audit: &AuditContext, kind: &str, event: Event) {
        let key = format!(
            "{}:audited:{kind}:{}",
            self.config.common.redis_namespace,
            audit.client_ip.customer_network()
        );
        let is_first_here = match self.audit_sampler.admit(kind, &key) {
            Admission::First => true,
            Admission::Refused if event.user_id.is_none() => return,
            Admission::Repeated | Admission::Refused => false,
        };
        // Boxed for the same reason as in `record_in`.
        let first = Box::pin(self.redis.set(
            key.as_str(),
            "",
            Some(Expiration::EX(SAMPLE_SECONDS)),
            Some(SetOptions::NX),
            false,
        ));
        let first: Result<Option<String>, _> = first.await;
        let is_sampled = match first {
            Ok(set) => set.is_some(),
            Err(error) => {
                self.redis_failures.report((&error).into());
                is_first_here
            }
        };
        if is_sampled && let Err(error) = self.record(event).await {
            self.report_failure(&error.into(), "Audit event not recorded");
        }
    }
}

/// Bounds the sampled audit events of this process, and samples them while Redis fails.
#[derive(Debug, Default)]
pub struct AuditSampler(Mutex<Option<Sample>>);

#[derive(Debug)]
struct Sample {
    since: Instant,
    /// The keys of each kind.
    keys: HashMap<String, HashSet<String>>,
}

/// Whether an event is the first with its key in [`SAMPLE_SECONDS`].
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    First,
    Repeated,
    /// The sample already has [`MAX_SAMPLED_KEYS`] keys of this kind.
    Refused,
}

impl AuditSampler {
    fn admit(&self, kind: &str, key: &str) -> Admission {
        let mut sample = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let period = Duration::from_secs(SAMPLE_SECONDS.unsigned_abs());
        let current = sample.take().filter(|it| it.since.elapsed() < period);
        let current = sample.insert(current.unwrap_or_else(|| Sample {
            since: Instant::now(),
            keys: HashMap::new(),
        }));
        let keys = current.keys.entry(kind.to_owned()).or_default();
        if keys.contains(key) {
            Admission::Repeated
        } else if keys.len() < MAX_SAMPLED_KEYS {
            keys.insert(key.to_owned());
            Admission::First
        } else {
            Admission::Refused
        }
    }
}

/// Returns the event with a session.
#[must_use]
pub fn with_session(event: Event, session: Uuid) -> Event {
    Event {
        session_id: Some(session),
        ..event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C2: any number of networks causes a bounded number of events and keys.
    #[test]
    fn sampled_events_are_bounded() {
        let sampler = AuditSampler::default();
        let key = |number: usize| format!("audited:refresh:{number}");
        for number in 0..MAX_SAMPLED_KEYS {
            assert_eq!(sampler.admit("refresh", &key(number)), Admission::First);
        }
        assert_eq!(sampler.admit("refresh", &key(0)), Admission::Repeated);
        let next = key(MAX_SAMPLED_KEYS);
        assert_eq!(sampler.admit("refresh", &next), Admission::Refused);
        assert_eq!(sampler.admit("login", &next), Admission::First);
    }
}
