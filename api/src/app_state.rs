//! What every handler can reach.

use std::{
    ops::Deref,
    sync::{Arc, atomic::AtomicBool},
};

use chrono::{DateTime, Utc};
use fred::clients::Client;
use latchkey_shared::{
    clock::Clock, config::Connections, crypto::token_hash::TokenHasher, database::Database,
    models::audit::AuditKey, outbox::Outbox, redis::one_time_code::CodeStore,
    telemetry::metrics::Metrics,
};
use tokio::sync::Semaphore;

use crate::http::metrics::RequestMetrics;
use crate::passwords::metrics::HashMetrics;
use crate::{
    accounts::pictures::PictureStore,
    auth::{jwt::TokenIssuer, session_loader::SessionLookup},
    config::Config,
    http::body::memory_budget::BodyMemoryBudget,
    http::cpu_pool::CpuPool,
    passwords::{PasswordPolicy, hasher::PasswordHasher},
    rate_limit::Limiter,
    server::{health::HealthChecks, metrics::ConnectionMetrics},
};

/// The state of a running API: connections, keys and configuration; nothing that a second process would not have, too.
#[derive(Clone)]
pub struct App(Arc<State>);

/// See [`App`].
pub struct State {
    /// The database.
    pub db: Database,
    /// Redis: sign-ins to the dashboard.
    pub redis: Client,
    /// Whether each dependency does its work.
    pub health: HealthChecks,
    /// One-time codes.
    pub codes: CodeStore,
    /// Mails.
    pub outbox: Outbox,
    /// How often somebody may try.
    pub limits: Limiter,
    /// Figures.
    pub metrics: Metrics,
    /// Figures of requests.
    pub requests: RequestMetrics,
    /// Metrics of connections.
    pub connections: ConnectionMetrics,
    /// Passwords.
    pub hasher: PasswordHasher,
    /// The rules for new passwords.
    pub passwords: PasswordPolicy,
    /// Access and refresh tokens.
    pub tokens: TokenIssuer,
    /// The sessions of those tokens.
    pub sessions: SessionLookup,
    /// The stored form of tokens.
    pub token_hasher: TokenHasher,
    /// Profile pictures.
    pub pictures: PictureStore,
    /// Where large bodies are kept while they are looked at.
    pub room: BodyMemoryBudget,
    /// Parses large bodies.
    pub body_parsers: CpuPool,
    /// The key of the audit log.
    pub audit_key: AuditKey,
    /// Whose turn it is to read the whole audit log.
    pub verifying: Semaphore,
    /// The configuration.
    pub config: Config,
    /// Whether it is about to stop, so that balancers should send it nothing more.
    pub stopping: AtomicBool,
    clock: Clock,
}

impl App {
    /// Puts the state together.
    pub fn new(config: Config, connections: Connections, clock: Clock) -> prometheus::Result<Self> {
        let metrics = Metrics::new("latchkey-api", env!("CARGO_PKG_VERSION"))?;
        let requests = RequestMetrics::new(metrics.registry())?;
        let clients = ConnectionMetrics::new(metrics.registry())?;
        let hashes = HashMetrics::new(metrics.registry())?;
        let health = HealthChecks::new(metrics.checks(), connections.clone());
        let domain = config.common.message_domain();
        let outbox = Outbox::new(connections.queue, domain, metrics.registry())?;
        let key = &config.common.secret_key;
        Ok(Self(Arc::new(State {
            health,
            metrics,
            requests,
            connections: clients,
            codes: CodeStore::new(
                connections.redis.clone(),
                &config.common.redis_namespace,
                key.code_seal(),
            ),
            limits: Limiter::new(
                connections.redis.clone(),
                &config.common.redis_namespace,
                key.token_hasher(),
                config.rates,
            ),
            sessions: SessionLookup::new(&connections.db, config.session_idle),
            redis: connections.redis,
            db: connections.db,
            outbox,
            hasher: PasswordHasher::new(config.hash_cost, config.hash_queue, hashes),
            passwords: PasswordPolicy::new(&config),
            tokens: TokenIssuer::new(key, config.access_token, config.refresh_token),
            token_hasher: key.token_hasher(),
            audit_key: key.audit_key(),
            pictures: PictureStore::new(
                &config.media_dir,
                &config.common.public_url,
                config.picture_max_size,
            ),
            room: BodyMemoryBudget::default(),
            body_parsers: CpuPool::default(),
            verifying: Semaphore::new(1),
            stopping: AtomicBool::new(false),
            clock,
            config,
        })))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }
}

impl Deref for App {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}
