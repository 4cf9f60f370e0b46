//! Starts and stops the tasks of a worker.

use std::{io, net::SocketAddr, time::Duration};

use latchkey_shared::{
    clock::Clock,
    config::{Connections, MissingDependency},
    crypto::data_keys::DataKeys,
    database::{Database, DatabaseError},
    models::{
        data_key::{self, DataKeysError},
        mail::Priority,
    },
    redis::one_time_code::CodeStore,
    telemetry::{metrics::Metrics, trace::Traces},
};
use lettre::transport::smtp;
use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{self, Instant},
};

use crate::{
    config::{Config, MailDestination, retention::Retention},
    database_health::DatabaseHealth,
    delivery::{
        Delivery, MailSecrets, SendLimits, mail_budget::MailBudget,
        smtp_rate_limit::SmtpRateLimiter,
    },
    housekeeping,
    metrics::{self, DeliveryMetrics, MetricsEndpoint},
    queue::{
        consumer::{self, DeliverySlots},
        relay,
    },
    redis_health::RedisHealth,
    transport::Transport,
};

/// A running worker.
pub struct Worker {
    slots: DeliverySlots,
    tasks: JoinSet<()>,
}

/// An error at the start of a worker.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database or Redis is unavailable.
    #[error(transparent)]
    Missing(#[from] MissingDependency),
    /// TLS could not be set up.
    #[error("SMTP_URL, SMTP_CA_FILE: {0}")]
    Smtp(#[from] smtp::Error),
    /// The database failed.
    #[error("DATABASE_URL: {0}")]
    Database(#[from] DatabaseError),
    /// The data keys cannot be opened.
    #[error(transparent)]
    DataKeys(#[from] DataKeysError),
    /// The schema is older than the program.
    #[error(
        "the database lacks {0} migration(s): run `latchkey-api migrate`, then start the worker again"
    )]
    Schema(usize),
    /// The address of the metrics is in use or not available.
    #[error("METRICS_BIND: cannot listen on {0}; is another worker running? ({1})")]
    MetricsBind(SocketAddr, io::Error),
    /// Two metrics have the same name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Signal handlers could not be installed.
    #[error("signals: {0}")]
    Signals(#[from] io::Error),
}

impl Worker {
    /// Starts the queue consumers, the relay and housekeeping.
    #[must_use]
    pub fn start(
        connections: &Connections,
        delivery: Delivery,
        health: DatabaseHealth,
        clock: &Clock,
        retention: Retention,
    ) -> Self {
        let stop = delivery.stop_token();
        let metrics = delivery.metrics();
        let slots = DeliverySlots::new(delivery, health.clone(), stop.clone());
        let Connections { db, queue, .. } = connections.clone();
        let mut tasks = JoinSet::new();
        for priority in Priority::ALL {
            tasks.spawn(consumer::run(queue.clone(), priority, slots.clone()));
        }
        tasks.spawn(relay::run(
            db.clone(),
            queue.clone(),
            slots.clone(),
            clock.clone(),
            metrics.clone(),
        ));
        tasks.spawn(housekeeping::run(
            db,
            queue,
            health,
            clock.clone(),
            retention,
            metrics.removed.clone(),
            stop,
        ));
        Self { slots, tasks }
    }

    /// Waits until a task ends. Before the shutdown a task ends only by a panic.
    pub async fn task_ended(&mut self) {
        self.tasks.join_next().await;
    }

    /// Stops the worker and waits up to `grace_period` for deliveries in flight. Returns how many mails it abandoned. They stay
    /// queued in their rows.
    pub async fn stop(self, grace_period: Duration) -> usize {
        let Self { slots, mut tasks } = self;
        slots.stop.cancel();
        let finished = async {
            while tasks.join_next().await.is_some() {}
            slots.in_flight.close();
            slots.in_flight.wait().await;
        };
        match time::timeout(grace_period, finished).await {
            Ok(()) => 0,
            Err(_) => slots.in_flight.len(),
        }
    }
}

/// The result of running a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All deliveries in flight were finished.
    Clean,
    /// Some mails were abandoned. They will be tried again.
    Abandoned(usize),
    /// A task panicked.
    Panicked,
}

/// Creates a delivery from the configuration.
pub fn delivery(
    config: &Config,
    connections: &Connections,
    keys: &DataKeys,
    clock: &Clock,
    metrics: DeliveryMetrics,
) -> Result<Delivery, smtp::Error> {
    let common = &config.common;
    let secrets = MailSecrets {
        codes: CodeStore::new(
            connections.redis.clone(),
            &common.redis_namespace,
            keys.code_seal(),
        ),
        tokens: keys.token_hasher(),
    };
    let budget = config.mail_rates.map(|rates| {
        MailBudget::new(
            connections.redis.clone(),
            &common.redis_namespace,
            keys.fingerprints(),
            rates,
        )
    });
    let rate = match &config.destination {
        MailDestination::Smtp(server) => server.max_per_second,
        MailDestination::Folder(_) => None,
    };
    let rate = rate.map(|per_second| {
        SmtpRateLimiter::new(
            connections.redis.clone(),
            &common.redis_namespace,
            per_second,
        )
    });
    Ok(Delivery::new(
        connections.db.clone(),
        secrets,
        Transport::new(&config.destination)?,
        SendLimits { rate, budget },
        config,
        clock.clone(),
        metrics,
    ))
}

/// Serves metrics and health checks at `METRICS_BIND`, unless it is `off`, until the program ends.
async fn serve_metrics(
    bind: Option<SocketAddr>,
    endpoint: MetricsEndpoint,
) -> Result<(), StartError> {
    let Some(bind) = bind else { return Ok(()) };
    let acceptor = TcpListener::bind(bind)
        .into_acceptor()
        .await
        .map_err(|error| StartError::MetricsBind(bind, error))?;
    let address = acceptor
        .local_addr()
        .into_iter()
        .find_map(|address| address.as_socket_addr().copied());
    let address = address.unwrap_or(bind);
    tracing::info!("Metrics and health checks on http://{address}");
    tokio::spawn(async move {
        if let Err(error) = metrics::serve(endpoint, acceptor, std::future::pending()).await {
            tracing::error!(%error, "The metrics server stopped");
        }
    });
    Ok(())
}

/// Runs a worker until SIGTERM or Ctrl-C, and then flushes its traces.
pub async fn run(config: &Config, traces: Traces) -> Result<Ended, StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (connections, redis_outage) = config.common.connect().await?;
    check_schema(&connections.db).await?;
    let keys = data_key::load(&connections.db, &config.common.secret_keys).await;
    let keys = keys.map_err(|error| match error {
        DataKeysError::Database(error) => connections.db.explain(error).into(),
        other => StartError::DataKeys(other),
    })?;
    let clock = Clock::system();
    clock.follow(&connections.redis).await;
    let metrics = Metrics::new("latchkey-worker", env!("CARGO_PKG_VERSION"))?;
    let delivery = delivery(
        config,
        &connections,
        &keys,
        &clock,
        DeliveryMetrics::new(metrics.registry())?,
    )?;
    let health = DatabaseHealth::new(&connections.db, metrics.checks());
    let namespace = &config.common.redis_namespace;
    let redis_health = RedisHealth::new(&connections, namespace, metrics.checks());
    redis_health.follow(delivery.redis_failures(), redis_outage.is_some());
    let endpoint = MetricsEndpoint::new(
        connections.clone(),
        health.clone(),
        redis_health,
        clock.clone(),
        metrics,
        delivery.clone(),
    )?;
    serve_metrics(config.metrics_bind, endpoint).await?;
    let stop = delivery.stop_token();
    let mut worker = Worker::start(&connections, delivery, health, &clock, config.retention);
    log_ready(config);
    let panicked = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = worker.task_ended() => true,
    };
    // Before the log line, so that no delivery starts after it.
    stop.cancel();
    Ok(finish(worker, panicked, config.common.shutdown, traces).await)
}

/// Stops a worker, and flushes the traces in the rest of the grace period.
async fn finish(worker: Worker, panicked: bool, grace_period: Duration, traces: Traces) -> Ended {
    if panicked {
        tracing::error!("A task of the worker panicked; shutting down");
    } else {
        tracing::info!("Shutting down: finishing mails in flight");
    }
    let stopping = Instant::now();
    let abandoned = worker.stop(grace_period).await;
    if abandoned > 0 {
        tracing::error!(
            mails = abandoned,
            "Worker stopped with mails in flight; they will be tried again"
        );
    } else {
        tracing::info!("Worker stopped");
    }
    traces
        .finish(grace_period.saturating_sub(stopping.elapsed()))
        .await;
    match abandoned {
        _ if panicked => Ended::Panicked,
        0 => Ended::Clean,
        mails => Ended::Abandoned(mails),
    }
}

fn log_ready(config: &Config) {
    let environment = config.common.environment;
    match &config.destination {
        MailDestination::Smtp(server) => tracing::info!(
            %environment,
            smtp.host = server.url.host,
            smtp.port = server.url.port,
            "Worker ready; mails are sent to SMTP_URL"
        ),
        MailDestination::Folder(folder) => tracing::info!(
            %environment,
            folder = %folder.display(),
            "Worker ready; mails are written to MAIL_DIR, as SMTP_URL is not set"
        ),
    }
}

/// Fails unless all migrations that this program knows are applied. The worker applies none.
pub async fn check_schema(db: &Database) -> Result<(), StartError> {
    let missing = latchkey_migration::missing(db).await;
    match missing.map_err(|error| db.explain(error))? {
        0 => Ok(()),
        missing => Err(StartError::Schema(missing)),
    }
}
