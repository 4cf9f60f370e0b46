//! Start and stop of all that a worker does.

use std::{io, net::SocketAddr, time::Duration};

use latchkey_shared::{
    clock::Clock,
    config::{Connections, MissingDependency},
    database::{self, Database},
    models::mail::Priority,
    redis::one_time_code::CodeStore,
    telemetry::{metrics::Metrics, trace::Traces},
};
use lettre::transport::smtp;
use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use sea_orm::DbErr;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{self, Instant},
};

use crate::{
    config::{Config, MailDestination},
    delivery::{Delivery, SendLimits, mail_budget::MailBudget, smtp_rate_limit::SmtpRateLimiter},
    housekeeping,
    metrics::{self, DeliveryMetrics, Figures},
    queue::{
        consumer::{self, DeliverySlots},
        relay,
    },
    transport::Transport,
};

/// A worker at work.
pub struct Worker {
    slots: DeliverySlots,
    tasks: JoinSet<()>,
}

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database or Redis is not there.
    #[error(transparent)]
    Missing(#[from] MissingDependency),
    /// TLS could not be set up.
    #[error("SMTP_URL, SMTP_CA_FILE: {0}")]
    Smtp(#[from] smtp::Error),
    /// The database failed.
    #[error("the database: {}", database::describe(.0))]
    Database(#[from] DbErr),
    /// The schema is older than this program.
    #[error(
        "the database lacks {0} migration(s): run `latchkey-api migrate`, then start the worker again"
    )]
    Schema(usize),
    /// Somebody else listens where the figures should be shown.
    #[error("METRICS_BIND: {0} cannot be listened on; is another worker there? ({1})")]
    Metrics(SocketAddr, io::Error),
    /// Two figures have one name.
    #[error("figures: {0}")]
    Figures(#[from] prometheus::Error),
    /// Signals cannot be heard.
    #[error("signals: {0}")]
    Signals(#[from] io::Error),
}

impl Worker {
    /// Starts monitor, relay and housekeeping.
    #[must_use]
    pub fn start(connections: &Connections, delivery: Delivery, clock: &Clock) -> Self {
        let stop = delivery.stop_token();
        let metrics = delivery.metrics();
        let slots = DeliverySlots::new(delivery, stop.clone());
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
            metrics,
        ));
        tasks.spawn(housekeeping::run(db, queue, clock.clone(), stop));
        Self { slots, tasks }
    }

    /// Waits until a part of it ends, which none does before the stop unless it panicked.
    pub async fn broken(&mut self) {
        self.tasks.join_next().await;
    }

    /// Takes nothing more, and gives what is on its way so much time to finish; returns how many mails it had to
    /// abandon. Those, and all that was not begun, stay queued in their rows.
    pub async fn stop(self, patience: Duration) -> usize {
        let Self { slots, mut tasks } = self;
        slots.stop.cancel();
        let finished = async {
            while tasks.join_next().await.is_some() {}
            slots.running.close();
            slots.running.wait().await;
        };
        match time::timeout(patience, finished).await {
            Ok(()) => 0,
            Err(_) => slots.running.len(),
        }
    }
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that was begun was finished.
    Clean,
    /// Some mails were abandoned; they are tried again.
    Abandoned(usize),
    /// It was not asked to: a part of it panicked.
    Broken,
}

/// The delivery that a configuration describes.
///
/// # Errors
/// When TLS cannot be set up.
pub fn delivery(
    config: &Config,
    connections: &Connections,
    clock: &Clock,
    metrics: DeliveryMetrics,
) -> Result<Delivery, smtp::Error> {
    let common = &config.common;
    let codes = CodeStore::new(
        connections.redis.clone(),
        &common.redis_namespace,
        common.secret_key.code_seal(),
    );
    let budget = config.mail_rates.map(|rates| {
        MailBudget::new(
            connections.redis.clone(),
            &common.redis_namespace,
            common.secret_key.token_hasher(),
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
        codes,
        Transport::new(&config.destination)?,
        SendLimits { rate, budget },
        config,
        clock.clone(),
        metrics,
    ))
}

/// Shows figures and health at `METRICS_BIND`, if anywhere, for as long as the program runs.
async fn serve_metrics(bind: Option<SocketAddr>, figures: Figures) -> Result<(), StartError> {
    let Some(bind) = bind else { return Ok(()) };
    let acceptor = TcpListener::bind(bind)
        .into_acceptor()
        .await
        .map_err(|error| StartError::Metrics(bind, error))?;
    let address = acceptor
        .local_addr()
        .into_iter()
        .find_map(|address| address.as_socket_addr().copied());
    tracing::info!(address = %address.unwrap_or(bind), "Figures and health are shown.");
    tokio::spawn(async move {
        if let Err(error) = metrics::serve(figures, acceptor, std::future::pending()).await {
            tracing::error!(%error, "Figures and health are shown no more.");
        }
    });
    Ok(())
}

/// Runs a worker until SIGTERM or Ctrl-C, and sends the last spans of its traces then.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: &Config, traces: Traces) -> Result<Ended, StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let connections = config.common.connect().await?;
    check_schema(&connections.db).await?;
    let clock = Clock::system();
    clock.follow(&connections.redis).await;
    let metrics = Metrics::new("latchkey-worker", env!("CARGO_PKG_VERSION"))?;
    let delivery = delivery(
        config,
        &connections,
        &clock,
        DeliveryMetrics::new(metrics.registry())?,
    )?;
    let figures = Figures::new(
        connections.clone(),
        clock.clone(),
        metrics,
        delivery.clone(),
        &config.common.redis_namespace,
    )?;
    serve_metrics(config.metrics_bind, figures).await?;
    let stop = delivery.stop_token();
    let mut worker = Worker::start(&connections, delivery, &clock);
    match &config.destination {
        MailDestination::Smtp(server) => tracing::info!(
            smtp.host = server.url.host,
            smtp.port = server.url.port,
            "The worker is ready; mails go to SMTP_URL."
        ),
        MailDestination::Folder(folder) => tracing::info!(
            folder = %folder.display(),
            "The worker is ready; mails go to MAIL_DIR, as SMTP_URL is not set."
        ),
    }
    let broken = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = worker.broken() => true,
    };
    // First, so that nothing begins any more when the log says so.
    stop.cancel();
    if broken {
        tracing::error!("A part of the worker broke; it stops, to be started anew.");
    } else {
        tracing::info!("The worker stops: it finishes what it has begun.");
    }
    let (asked, patience) = (Instant::now(), config.common.shutdown);
    let abandoned = worker.stop(patience).await;
    if abandoned > 0 {
        tracing::error!(
            mails = abandoned,
            "The worker has stopped before some mails were done; they will be tried again."
        );
    } else {
        tracing::info!("The worker has stopped.");
    }
    traces
        .finish(patience.saturating_sub(asked.elapsed()))
        .await;
    Ok(match abandoned {
        _ if broken => Ended::Broken,
        0 => Ended::Clean,
        mails => Ended::Abandoned(mails),
    })
}

/// Whether the database has every migration that this program knows. The worker runs none itself.
///
/// # Errors
/// When it has not, or fails.
pub async fn check_schema(db: &Database) -> Result<(), StartError> {
    match latchkey_migration::missing(db).await? {
        0 => Ok(()),
        missing => Err(StartError::Schema(missing)),
    }
}
