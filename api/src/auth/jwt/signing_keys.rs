//! Loads the signing keys of the database, and creates the next one in time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use latchkey_shared::{
    crypto::sealing::Seal,
    database::{self, Database, Outage},
    models::signing_key::{self, KeySchedule, Model, SigningAlgorithm},
};
use prometheus::{IntCounter, IntGauge, Registry};
use sea_orm::{ConnectionTrait, DbErr};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app_state::App,
    auth::jwt::{
        TokenIssuer,
        key_set::{self, KeyGenerationError, KeySet},
    },
    config::Config,
};

/// Minimum interval between two look-ups of unknown key ids. Anyone can send one.
const LOOK_UP_COOLDOWN: Duration = Duration::from_secs(5);

/// Maximum interval between two loads. A revoked key is refused after about this time, while the database answers.
const MAX_LOAD_INTERVAL: Duration = Duration::from_secs(30);

/// Metrics of signing keys.
#[derive(Clone)]
pub struct SigningKeyMetrics {
    /// When the active key began to sign, in Unix seconds.
    active_since: IntGauge,
    /// Failed loads.
    failures: IntCounter,
}

impl SigningKeyMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let active_since = IntGauge::new(
            "latchkey_signing_key_active_since_seconds",
            "Unix time at which the active signing key began to sign; 0 if there is none.",
        )?;
        let failures = IntCounter::new(
            "latchkey_signing_key_failures_total",
            "Failed attempts to load or create signing keys.",
        )?;
        registry.register(Box::new(active_since.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self {
            active_since,
            failures,
        })
    }
}

/// The signing keys of the database.
pub struct SigningKeys {
    db: Database,
    seal: Seal,
    schedule: KeySchedule,
    /// The algorithm of new keys. `None`: none are created, because a shared secret signs.
    algorithm: Option<SigningAlgorithm>,
    /// Whether the shared secret signs until the first key has been published.
    has_secret: bool,
    loading: Mutex<()>,
    last_look_up: Mutex<Option<Instant>>,
    metrics: SigningKeyMetrics,
}

/// Why signing keys could not be loaded or created.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The database failed.
    #[error("the database: {}", database::describe(.0))]
    Database(#[from] DbErr),
    /// No key could be generated.
    #[error(transparent)]
    Generation(#[from] KeyGenerationError),
    /// Another program created the next key at the same moment.
    #[error("another program created a signing key at the same moment")]
    Concurrent,
}

impl SigningKeys {
    /// Creates the loader of an installation.
    #[must_use]
    pub fn new(db: &Database, seal: Seal, config: &Config, metrics: SigningKeyMetrics) -> Self {
        Self {
            db: db.clone(),
            seal,
            schedule: Self::schedule_of(config),
            algorithm: config.tokens.algorithm.pair(),
            has_secret: config.tokens.secret.is_some(),
            loading: Mutex::default(),
            last_look_up: Mutex::default(),
            metrics,
        }
    }

    /// Returns a set without keys, for an issuer before the first load.
    #[must_use]
    pub fn empty_set(&self) -> KeySet {
        KeySet::empty(self.schedule)
    }

    /// Returns the times that decide the states of the keys.
    #[must_use]
    pub fn schedule(&self) -> KeySchedule {
        self.schedule
    }

    /// Returns the times that an installation's settings give.
    #[must_use]
    pub fn schedule_of(config: &Config) -> KeySchedule {
        KeySchedule {
            access_token: config.sessions.access_token,
            max_age: config.tokens.jwks_max_age,
            key_lifetime: config.tokens.signing_key_lifetime,
        }
    }

    /// Loads the keys, creates the next one if it is due, and deletes those that are no longer needed.
    pub async fn maintain(
        &self,
        issuer: &TokenIssuer,
        now: DateTime<Utc>,
    ) -> Result<(), SigningKeyError> {
        let maintained = self.try_to_maintain(issuer, now).await;
        if maintained.is_err() {
            self.metrics.failures.inc();
        }
        maintained
    }

    async fn try_to_maintain(
        &self,
        issuer: &TokenIssuer,
        now: DateTime<Utc>,
    ) -> Result<(), SigningKeyError> {
        self.load(issuer, now).await?;
        let keys = issuer.keys();
        if let Some(algorithm) = self.algorithm
            && let Some(signs_from) = keys.due(algorithm, self.has_secret, now)
        {
            let created = self
                .create(&self.db, keys.rows(), algorithm, now, signs_from)
                .await;
            match created {
                Ok(key) => tracing::info!(kid = key.kid, %signs_from, "Signing key created"),
                // The other program's key is as good.
                Err(SigningKeyError::Concurrent) => {}
                Err(error) => return Err(error),
            }
            self.load(issuer, now).await?;
        }
        let old = self.schedule.deletable(issuer.keys().rows(), now);
        if !old.is_empty() {
            signing_key::delete(&self.db, &old).await?;
            self.load(issuer, now).await?;
        }
        Ok(())
    }

    /// Loads the keys. If they have not changed, the issuer keeps its own, with the tokens that they verified.
    async fn load(&self, issuer: &TokenIssuer, now: DateTime<Utc>) -> Result<(), DbErr> {
        // One load at a time: a slow one must not replace the result of a later one.
        let _loading = self.loading.lock().await;
        let rows = signing_key::list(&self.db).await?;
        if rows != issuer.keys().rows() {
            issuer.set_keys(KeySet::open(self.schedule, rows, &self.seal));
        }
        let since = issuer.keys().active_since(now);
        let since = since.map_or(0, |since| since.timestamp());
        self.metrics.active_since.set(since);
        Ok(())
    }

    /// Creates the next key after these. The caller commits.
    pub async fn create(
        &self,
        db: &impl ConnectionTrait,
        rows: &[Model],
        algorithm: SigningAlgorithm,
        now: DateTime<Utc>,
        signs_from: DateTime<Utc>,
    ) -> Result<Model, SigningKeyError> {
        let number = rows.last().map_or(1, |last| last.number + 1);
        let key = key_set::generate(algorithm)?.seal(&self.seal, number, now, signs_from);
        if signing_key::insert(db, &key).await? {
            Ok(key)
        } else {
            Err(SigningKeyError::Concurrent)
        }
    }

    /// Loads the keys once for an unknown key id, unless that was done within the last `LOOK_UP_COOLDOWN`. Requests that arrive
    /// in the meantime wait for it.
    pub async fn look_up(
        &self,
        issuer: &TokenIssuer,
        kid: &str,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let mut last = self.last_look_up.lock().await;
        let is_recent = last.is_some_and(|last| last.elapsed() < LOOK_UP_COOLDOWN);
        if is_recent || issuer.keys().contains(kid) {
            return Ok(());
        }
        // After the load: a failed one must not turn valid tokens into invalid ones.
        self.load(issuer, now).await?;
        *last = Some(Instant::now());
        Ok(())
    }

    /// Returns the interval between two loads.
    fn interval(&self) -> Duration {
        let half_age = self.schedule.max_age.to_std().unwrap_or_default() / 2;
        half_age.min(MAX_LOAD_INTERVAL)
    }
}

/// Keeps the signing keys of a server current until `stop`. While the database fails, the loaded keys are used.
pub async fn keep_current(app: App, stop: CancellationToken) {
    const NOT_LOADED: &str = "Signing keys not loaded; the last ones stay in use";
    let interval = app.signing_keys.interval();
    let mut is_failing = false;
    while timeout(interval, stop.cancelled()).await.is_err() {
        match app.signing_keys.maintain(&app.tokens, app.now()).await {
            Err(SigningKeyError::Database(error)) if Outage::of(&error).is_some() => {
                app.report_failure(&error.into(), NOT_LOADED);
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!(%error, "{NOT_LOADED}");
                }
                is_failing = true;
            }
            Ok(()) => {
                if is_failing {
                    tracing::info!("Signing keys loaded again");
                }
                is_failing = false;
            }
        }
    }
}
