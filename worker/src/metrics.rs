//! `/metrics`, `/health/live` and `/health/ready` of the worker, on a port of their own.

use std::{future::Future, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use latchkey_shared::{
    clock::Clock,
    config::Connections,
    dependency::{Diagnosis, Refusal},
    health::{self, Check, OK},
    models::mail::{
        self, MailKind,
        delivery_health::{self, DeliveryHealth, FailureCause},
    },
    telemetry::metrics::{self, Metrics},
};
use poem::{
    Endpoint, EndpointExt as _, Response, Route, Server, get, handler,
    http::StatusCode,
    listener::Acceptor,
    web::{Data, Json},
};
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use sea_orm::DbErr;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    delivery::{Delivery, Outcome},
    transport::SendError,
};

/// How long the figures wait for the database.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// What became of mails of late is counted over this span.
const LATELY: TimeDelta = TimeDelta::hours(24);

/// From a mail that was sent at once to one that waited out the longest back-off.
const SECONDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];

/// From a mail that went at once to one that waited out three days.
const TRIES: [f64; 8] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 100.0, 1000.0];

/// How long a look at the SMTP server counts, so that asking for health costs it next to nothing.
const SMTP_LOOK: Duration = Duration::from_secs(15);

/// Figures of deliveries.
#[derive(Clone)]
pub struct DeliveryMetrics {
    outcomes: IntCounterVec,
    seconds: Histogram,
    delay: Histogram,
    in_flight: IntGauge,
    tries: Histogram,
    conversations: HistogramVec,
    /// What the relay pushed again.
    pub relayed: IntCounter,
    /// What the relay handed to deliveries directly, as the queue could not be used.
    pub direct: IntCounter,
}

/// Figures that are asked of the database when somebody looks.
#[derive(Clone)]
struct MailMetrics {
    mails: IntGaugeVec,
    oldest: Gauge,
    failing: IntGaugeVec,
}

/// All that the endpoint needs.
#[derive(Clone)]
pub struct Figures {
    connections: Connections,
    clock: Clock,
    metrics: Metrics,
    mails: MailMetrics,
    delivery: Delivery,
    namespace: String,
    checks: Arc<HealthChecks>,
}

/// The health checks of a worker.
struct HealthChecks {
    database: Check,
    redis: Check,
    smtp: Check,
}

/// A word for each dependency, `ok` or what is wrong with it.
struct DependencyStates {
    database: &'static str,
    redis: &'static str,
    smtp: &'static str,
}

impl DeliveryMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When two figures have one name.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let outcomes = IntCounterVec::new(
            Opts::new(
                "latchkey_deliveries_total",
                "Tries to deliver a mail, by its kind and how they ended.",
            ),
            &["kind", "outcome"],
        )?;
        let seconds = HistogramOpts::new(
            "latchkey_delivery_seconds",
            "How long tries to deliver a mail took.",
        );
        let seconds = Histogram::with_opts(seconds.buckets(SECONDS.to_vec()))?;
        let delay = HistogramOpts::new(
            "latchkey_mail_delay_seconds",
            "From the moment a mail's cause was accepted to the moment SMTP accepted the mail.",
        );
        let delay = Histogram::with_opts(delay.buckets(SECONDS.to_vec()))?;
        let in_flight = IntGauge::new(
            "latchkey_deliveries_in_flight",
            "Mails that this worker has in hand.",
        )?;
        let tries = HistogramOpts::new(
            "latchkey_mail_tries",
            "How many tries mails took that were sent.",
        );
        let tries = Histogram::with_opts(tries.buckets(TRIES.to_vec()))?;
        let conversations = HistogramOpts::new(
            "latchkey_smtp_seconds",
            "How long the SMTP server took for a mail, by its answer: accepted, refused, or failed for now.",
        );
        let conversations =
            HistogramVec::new(conversations.buckets(SECONDS.to_vec()), &["answer"])?;
        let relayed = IntCounter::new(
            "latchkey_relay_pushes_total",
            "Wake-ups pushed again because a mail was due and nobody had taken it.",
        )?;
        let direct = IntCounter::new(
            "latchkey_relay_direct_total",
            "Due mails that the relay began to deliver itself because the queue in Redis could not be used.",
        )?;
        registry.register(Box::new(direct.clone()))?;
        registry.register(Box::new(tries.clone()))?;
        registry.register(Box::new(conversations.clone()))?;
        registry.register(Box::new(relayed.clone()))?;
        registry.register(Box::new(outcomes.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(delay.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self {
            outcomes,
            seconds,
            delay,
            in_flight,
            tries,
            conversations,
            relayed,
            direct,
        })
    }

    /// Counts a delivery as on its way until the guard is dropped.
    #[must_use]
    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Notes how a try ended. A kind that is unknown is noted as such: a row may hold any text.
    pub fn record(&self, mail: &mail::Model, outcome: Outcome, took: Duration, now: DateTime<Utc>) {
        let kind = mail.kind.parse().map_or("unknown", MailKind::as_str);
        self.outcomes
            .with_label_values(&[kind, outcome.as_str()])
            .inc();
        self.seconds.observe(took.as_secs_f64());
        if outcome == Outcome::Sent {
            self.tries.observe(f64::from(mail.attempts));
            self.delay
                .observe((now - mail.created_at).as_seconds_f64().max(0.0));
        }
    }

    /// Notes how long the server took for a mail.
    pub fn record_conversation(&self, sent: &Result<(), SendError>, took: Duration) {
        let answer = match sent {
            Ok(()) => "accepted",
            Err(error) if error.is_final => "refused",
            Err(_) => "failed",
        };
        self.conversations
            .with_label_values(&[answer])
            .observe(took.as_secs_f64());
    }
}

/// See [`DeliveryMetrics::begin`].
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Figures {
    /// The figures of a worker with these connections.
    ///
    /// # Errors
    /// When two figures have one name.
    pub fn new(
        connections: Connections,
        clock: Clock,
        metrics: Metrics,
        delivery: Delivery,
        namespace: &str,
    ) -> prometheus::Result<Self> {
        let mails = IntGaugeVec::new(
            Opts::new(
                "latchkey_mails",
                "Mails by kind and state: all that wait, and those of the last 24 hours that ended.",
            ),
            &["kind", "state"],
        )?;
        let oldest = Gauge::new(
            "latchkey_mail_oldest_waiting_seconds",
            "The age of the oldest mail that waits, due or not; 0 when none does.",
        )?;
        let failing = IntGaugeVec::new(
            Opts::new(
                "latchkey_mail_delivery_failing",
                "1 while no mail gets through, or mails to several domains are refused, by the cause; else 0.",
            ),
            &["cause"],
        )?;
        metrics.registry().register(Box::new(failing.clone()))?;
        let checks = HealthChecks {
            database: metrics.checks().of("database"),
            redis: metrics.checks().of("redis"),
            smtp: metrics.checks().of("smtp").valid_for(SMTP_LOOK),
        };
        metrics.registry().register(Box::new(mails.clone()))?;
        metrics.registry().register(Box::new(oldest.clone()))?;
        Ok(Self {
            connections,
            clock,
            metrics,
            mails: MailMetrics {
                mails,
                oldest,
                failing,
            },
            delivery,
            namespace: namespace.to_owned(),
            checks: Arc::new(checks),
        })
    }

    /// Tries the work of each dependency, or returns what was found within the last seconds.
    async fn ask(&self) -> DependencyStates {
        let Connections { db, redis, queue } = &self.connections;
        let checks = &self.checks;
        let (database, redis, smtp) = tokio::join!(
            checks.database.ask(health::check_database(db)),
            checks
                .redis
                .ask(health::check_redis(redis, &self.namespace, queue)),
            checks.smtp.ask(self.probe_smtp()),
        );
        DependencyStates {
            database,
            redis,
            smtp,
        }
    }

    async fn probe_smtp(&self) -> Result<(), Refusal> {
        let probed = self.delivery.transport().probe().await;
        probed.map_err(|error| Refusal {
            dependency: "SMTP",
            cause: error.to_string(),
            diagnosis: Diagnosis {
                word: "fails",
                remedy: "run latchkey-worker doctor",
            },
        })
    }

    async fn look(&self) -> Result<(), DbErr> {
        let now = self.clock.now();
        let counts = mail::count_queued_and_recent(&self.connections.db, now - LATELY).await?;
        self.mails.mails.reset();
        for (kind, state, count) in counts {
            let kind = kind.parse().map_or("unknown", MailKind::as_str);
            self.mails
                .mails
                .with_label_values(&[kind, &state])
                .add(count);
        }
        let health = delivery_health::check(&self.connections.db, now).await?;
        for cause in FailureCause::ALL {
            let is_cause = matches!(&health, DeliveryHealth::Failing(it) if it.cause == cause);
            let failing = self.mails.failing.with_label_values(&[cause.as_str()]);
            failing.set(i64::from(is_cause));
        }
        let oldest = mail::oldest_queued(&self.connections.db).await?;
        self.mails
            .oldest
            .set(oldest.map_or(0.0, |created| (now - created).as_seconds_f64().max(0.0)));
        Ok(())
    }
}

/// Shows figures and health until `shutdown` resolves.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    figures: Figures,
    acceptor: impl Acceptor + 'static,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(endpoint(figures), shutdown, Some(Duration::from_secs(1)))
        .await
}

fn endpoint(figures: Figures) -> impl Endpoint {
    Route::new()
        .at("/metrics", get(show))
        .at("/health/live", get(live))
        .at("/health/ready", get(ready))
        .data(figures)
}

#[handler]
async fn show(Data(figures): Data<&Figures>) -> Response {
    // Without the database the other figures are worth the more.
    if let Ok(Err(error)) = timeout(CHECK_TIMEOUT, figures.look()).await {
        tracing::warn!(%error, "The figures of the mails are old: the database failed.");
    }
    // For the metric of each dependency.
    Box::pin(figures.ask()).await;
    let Connections { db, queue, .. } = &figures.connections;
    let text = figures.metrics.render(db, queue).await;
    Response::builder()
        .content_type(metrics::CONTENT_TYPE)
        .body(text)
}

#[handler]
fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

#[handler]
async fn ready(Data(figures): Data<&Figures>) -> (StatusCode, Json<Value>) {
    let DependencyStates {
        database,
        redis,
        smtp,
    } = Box::pin(figures.ask()).await;
    let (status, says) = if database != OK || smtp != OK {
        // No mail is delivered.
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    } else if redis != OK {
        // Notices are delivered, codes are not.
        (StatusCode::OK, "degraded")
    } else {
        (StatusCode::OK, OK)
    };
    (
        status,
        Json(json!({"status": says, "database": database, "redis": redis, "smtp": smtp})),
    )
}
