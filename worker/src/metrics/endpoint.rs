//! `/metrics`, `/health/live` and `/health/ready` of the worker, on a port of their own.

use std::{future::Future, sync::Arc, time::Duration};

use chrono::TimeDelta;
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
use prometheus::{Gauge, IntGaugeVec, Opts, Registry};
use sea_orm::DbErr;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    database_health::DatabaseHealth, delivery::Delivery, metrics::deliveries::register,
    redis_health::RedisHealth,
};

/// The timeout of the queries for metrics.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// Ended mails are counted over this time.
const RECENT: TimeDelta = TimeDelta::hours(24);

/// How long the result of an SMTP probe is reused, so that frequent health checks cost the server little.
const SMTP_PROBE_VALIDITY: Duration = Duration::from_secs(15);

/// Time for open requests at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Metrics that are read from the database for each request.
#[derive(Clone)]
struct MailMetrics {
    mails: IntGaugeVec,
    oldest: Gauge,
    failing: IntGaugeVec,
}

impl MailMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            mails: register(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "latchkey_mails",
                        "Mails, by kind and state: all queued mails, and those finished within the last 24 hours.",
                    ),
                    &["kind", "state"],
                ),
            )?,
            oldest: register(
                registry,
                Gauge::new(
                    "latchkey_mail_oldest_queued_age_seconds",
                    "Age of the oldest queued mail in seconds, due or not; 0 if there is none.",
                ),
            )?,
            failing: register(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "latchkey_mail_delivery_failing",
                        "1 while no mail is accepted or mails to several domains are refused, otherwise 0, by cause of the newest failure.",
                    ),
                    &["cause"],
                ),
            )?,
        })
    }
}

/// The state of the endpoint.
#[derive(Clone)]
pub struct MetricsEndpoint {
    connections: Connections,
    clock: Clock,
    metrics: Metrics,
    mails: MailMetrics,
    delivery: Delivery,
    checks: Arc<HealthChecks>,
}

/// The health checks of a worker.
struct HealthChecks {
    database: DatabaseHealth,
    redis: RedisHealth,
    smtp: Check,
}

/// The state of each dependency: `ok`, or a word for its problem.
struct DependencyStates {
    database: &'static str,
    redis: &'static str,
    smtp: &'static str,
}

impl MetricsEndpoint {
    /// Creates the endpoint and registers its metrics.
    pub fn new(
        connections: Connections,
        database: DatabaseHealth,
        redis: RedisHealth,
        clock: Clock,
        metrics: Metrics,
        delivery: Delivery,
    ) -> prometheus::Result<Self> {
        let checks = HealthChecks {
            database,
            redis,
            smtp: metrics.checks().of("smtp").valid_for(SMTP_PROBE_VALIDITY),
        };
        Ok(Self {
            connections,
            clock,
            mails: MailMetrics::new(metrics.registry())?,
            metrics,
            delivery,
            checks: Arc::new(checks),
        })
    }

    /// Checks each dependency, or returns the result of a recent check.
    async fn check_dependencies(&self) -> DependencyStates {
        let checks = &self.checks;
        let (database, redis, smtp) = tokio::join!(
            checks.database.ask(),
            checks.redis.ask(),
            checks.smtp.ask(self.probe_smtp()),
        );
        DependencyStates {
            database,
            redis: health::with_clock(redis, &self.clock),
            smtp,
        }
    }

    async fn probe_smtp(&self) -> Result<(), Refusal> {
        let probed = self.delivery.transport().probe().await;
        probed.map(drop).map_err(|error| Refusal {
            dependency: "SMTP",
            cause: error.to_string(),
            diagnosis: Diagnosis {
                word: "fails",
                remedy: "run latchkey-worker doctor",
            },
        })
    }

    /// Updates the metrics that come from the database.
    async fn update_mail_metrics(&self) -> Result<(), DbErr> {
        let (db, now) = (&self.connections.db, self.clock.now());
        let counts = mail::count_queued_and_recent(db, now - RECENT).await?;
        self.mails.mails.reset();
        for (kind, state, count) in counts {
            let kind = kind.parse().map_or("unknown", MailKind::as_str);
            self.mails
                .mails
                .with_label_values(&[kind, &state])
                .add(count);
        }
        let health = delivery_health::check(db, now).await?;
        for cause in FailureCause::ALL {
            let is_cause = matches!(&health, DeliveryHealth::Failing(it) if it.cause == cause);
            let failing = self.mails.failing.with_label_values(&[cause.as_str()]);
            failing.set(i64::from(is_cause));
        }
        let oldest = mail::oldest_queued(db).await?;
        self.mails
            .oldest
            .set(oldest.map_or(0.0, |created| (now - created).as_seconds_f64().max(0.0)));
        Ok(())
    }
}

/// Serves metrics and health checks until `shutdown` resolves.
pub async fn serve(
    endpoint: MetricsEndpoint,
    acceptor: impl Acceptor + 'static,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(routes(endpoint), shutdown, Some(SHUTDOWN_TIMEOUT))
        .await
}

fn routes(endpoint: MetricsEndpoint) -> impl Endpoint {
    Route::new()
        .at("/metrics", get(show))
        .at("/health/live", get(live))
        .at("/health/ready", get(ready))
        .data(endpoint)
}

#[handler]
async fn show(Data(endpoint): Data<&MetricsEndpoint>) -> Response {
    // The other metrics are still shown, as they help to diagnose a database failure.
    if let Ok(Err(error)) = timeout(QUERY_TIMEOUT, endpoint.update_mail_metrics()).await
        && !endpoint.checks.database.report(&error)
    {
        tracing::warn!(%error, "Metrics of mails not updated: database error");
    }
    // Updates `latchkey_dependency_up`.
    Box::pin(endpoint.check_dependencies()).await;
    let Connections { db, queue, .. } = &endpoint.connections;
    let text = endpoint.metrics.render(db, queue).await;
    Response::builder()
        .content_type(metrics::CONTENT_TYPE)
        .body(text)
}

#[handler]
fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

#[handler]
async fn ready(Data(endpoint): Data<&MetricsEndpoint>) -> (StatusCode, Json<Value>) {
    let DependencyStates {
        database,
        redis,
        smtp,
    } = Box::pin(endpoint.check_dependencies()).await;
    let (code, status) = if database != OK || smtp != OK {
        // No mail can be delivered.
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    } else if redis != OK {
        // Notices are delivered, codes are not.
        (StatusCode::OK, "degraded")
    } else {
        (StatusCode::OK, OK)
    };
    let body = json!({"status": status, "database": database, "redis": redis, "smtp": smtp});
    (code, Json(body))
}
