//! The application state that every handler can access.

use std::{
    ops::Deref,
    sync::{Arc, atomic::AtomicBool},
};

use chrono::{DateTime, Utc};
use fred::clients::Client;
use latchkey_shared::{
    clock::Clock,
    config::Connections,
    crypto::{
        data_keys::DataKeys,
        sealing::Seal,
        token_hash::{Fingerprints, TokenHasher},
    },
    database::Database,
    dependency::FailureReports,
    models::audit::AuditKey,
    outbox::Outbox,
    redis::one_time_code::CodeStore,
    telemetry::metrics::{self, Metrics},
};
use poem::Request;
use prometheus::IntCounterVec;
use tokio::sync::Semaphore;

use crate::{
    accounts::pictures::PictureStore,
    admin::dashboard::branding::BrandAssets,
    auth::{
        jwt::{
            TokenIssuer, TokenRules,
            signing_keys::{SigningKeyMetrics, SigningKeys},
        },
        second_factor::challenge::ChallengeStore,
        session_loader::SessionLookup,
    },
    config::Config,
    http::audit_context::AuditSampler,
    http::{
        body::memory_budget::BodyMemoryBudget, cpu_pool::CpuPool, error::ApiError,
        metrics::RequestMetrics,
    },
    passwords::{PasswordPolicy, django::OldHashes, hasher::PasswordHasher, metrics::HashMetrics},
    rate_limit::Limiter,
    server::{
        health::{self, HealthChecks},
        metrics::ConnectionMetrics,
    },
};

/// The shared state of the API process. Handlers take it as `Data<&App>`.
#[derive(Clone)]
pub struct App(Arc<State>);

/// The services and the configuration of an [`App`].
pub struct State {
    /// The connection pool of the database.
    pub db: Database,
    /// The Redis client, for dashboard sessions and audit sampling.
    pub redis: Client,
    /// The health checks of the dependencies.
    pub health: HealthChecks,
    /// Failures of Redis that fail no request.
    pub redis_failures: FailureReports,
    /// The one-time codes in Redis.
    pub codes: CodeStore,
    /// The challenges of logins that need a second factor.
    pub challenges: ChallengeStore,
    /// The key that encrypts TOTP secrets.
    pub totp_seal: Seal,
    /// The outbox of mails.
    pub outbox: Outbox,
    /// The rate limits and lockouts.
    pub limits: Limiter,
    /// The registry of the metrics.
    pub metrics: Metrics,
    /// Metrics of requests.
    pub requests: RequestMetrics,
    /// Metrics of connections.
    pub connections: ConnectionMetrics,
    /// Counts the accounts that were deleted at the end of their time.
    pub rows_removed: IntCounterVec,
    /// The password hasher.
    pub hasher: PasswordHasher,
    /// The dearest password hashes of imported accounts.
    pub old_hashes: OldHashes,
    /// The rules for new passwords.
    pub passwords: PasswordPolicy,
    /// Issues and verifies access and refresh tokens.
    pub tokens: TokenIssuer,
    /// Loads and creates the keys of access tokens.
    pub signing_keys: SigningKeys,
    /// Loads the sessions of tokens.
    pub sessions: SessionLookup,
    /// Hashes tokens for storage.
    pub token_hasher: TokenHasher,
    /// Names emails where they must not be revealed.
    pub fingerprints: Fingerprints,
    /// The logo and the style sheet of the dashboard.
    pub branding: BrandAssets,
    /// Profile pictures.
    pub pictures: PictureStore,
    /// The memory budget for large request bodies.
    pub body_memory: BodyMemoryBudget,
    /// The pool that parses large bodies.
    pub body_parsers: CpuPool,
    /// The key of the audit log.
    pub audit_key: AuditKey,
    /// Allows one verification of the audit log at a time.
    pub audit_verification: Semaphore,
    /// Samples audit events while Redis fails.
    pub audit_sampler: AuditSampler,
    /// The configuration.
    pub config: Config,
    /// Whether the process is shutting down. `/health/ready` then answers 503.
    pub stopping: AtomicBool,
    clock: Clock,
}

impl App {
    /// Creates the state.
    pub fn new(
        config: Config,
        connections: Connections,
        keys: &DataKeys,
        clock: Clock,
    ) -> prometheus::Result<Self> {
        let metrics = Metrics::new("latchkey-api", env!("CARGO_PKG_VERSION"))?;
        let requests = RequestMetrics::new(metrics.registry())?;
        let clients = ConnectionMetrics::new(metrics.registry())?;
        let (hasher, old_hashes) = hasher(&config, &metrics)?;
        let signing_keys = signing_keys(&config, &connections, keys, &metrics)?;
        let (redis, namespace) = (connections.redis.clone(), &config.common.redis_namespace);
        let health = HealthChecks::new(metrics.checks(), connections.clone());
        let domain = config.common.message_domain();
        let redis_failures = FailureReports::default();
        let (refresh_key, rules) = (keys.refresh_token_key(), TokenRules::of(&config));
        let tokens = TokenIssuer::new(refresh_key, rules, signing_keys.empty_set());
        let failures = || redis_failures.clone();
        let outbox = Outbox::new(connections.queue, domain, metrics.registry(), failures())?;
        Ok(Self(Arc::new(State {
            rows_removed: metrics::rows_removed(metrics.registry())?,
            health,
            metrics,
            requests,
            connections: clients,
            codes: CodeStore::new(redis.clone(), namespace, keys.code_seal()),
            challenges: challenges(&redis, namespace, keys),
            totp_seal: keys.totp_seal(),
            limits: limiter(&redis, keys, &config, failures()),
            redis_failures,
            sessions: SessionLookup::new(&connections.db, config.sessions.idle),
            redis,
            db: connections.db,
            outbox,
            hasher,
            old_hashes,
            passwords: PasswordPolicy::new(&config),
            tokens,
            signing_keys,
            token_hasher: keys.token_hasher(),
            fingerprints: keys.fingerprints(),
            audit_key: keys.audit_key(),
            branding: BrandAssets::new(&config.common.mail_branding),
            pictures: PictureStore::new(
                &config.accounts.media_dir,
                &config.common.public_url,
                config.accounts.picture_max_size,
            ),
            body_memory: BodyMemoryBudget::default(),
            body_parsers: CpuPool::default(),
            audit_verification: Semaphore::new(1),
            audit_sampler: AuditSampler::default(),
            stopping: AtomicBool::new(false),
            clock,
            config,
        })))
    }

    /// Returns the state of a request. Every routed request has it.
    pub fn of(request: &Request) -> Result<&Self, ApiError> {
        let missing = || ApiError::Internal("no application state".to_owned());
        request.data().ok_or_else(missing)
    }

    /// Starts the health checks after `error`, which failed no request, if a dependency is the cause. Otherwise logs the error with
    /// `message`.
    pub fn report_failure(&self, error: &ApiError, message: &str) {
        health::report(self, error, message);
    }

    /// Returns the clock of the installation.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }
}

fn limiter(redis: &Client, keys: &DataKeys, config: &Config, failures: FailureReports) -> Limiter {
    let (namespace, fingerprints) = (&config.common.redis_namespace, keys.fingerprints());
    Limiter::new(
        redis.clone(),
        namespace,
        fingerprints,
        config.rates,
        failures,
    )
}

fn challenges(redis: &Client, namespace: &str, keys: &DataKeys) -> ChallengeStore {
    let (hasher, fingerprints) = (keys.token_hasher(), keys.fingerprints());
    ChallengeStore::new(redis.clone(), namespace, hasher, fingerprints)
}

fn signing_keys(
    config: &Config,
    connections: &Connections,
    keys: &DataKeys,
    metrics: &Metrics,
) -> prometheus::Result<SigningKeys> {
    Ok(SigningKeys::new(
        &connections.db,
        keys.signing_key_seal(),
        config,
        SigningKeyMetrics::new(metrics.registry())?,
    ))
}

fn hasher(config: &Config, metrics: &Metrics) -> prometheus::Result<(PasswordHasher, OldHashes)> {
    let metrics = HashMetrics::new(metrics.registry())?;
    let old_hashes = OldHashes::new(metrics.old_functions.clone());
    let (cost, timeout) = (
        config.passwords.hash_cost,
        config.passwords.hash_queue_timeout,
    );
    Ok((PasswordHasher::new(cost, timeout, metrics), old_hashes))
}

impl Deref for App {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}
