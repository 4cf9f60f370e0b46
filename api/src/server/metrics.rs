//! `GET /metrics`, on a port of its own: the figures of the API.

use std::{future::Future, time::Duration};

use latchkey_shared::{queue::Queue, telemetry::metrics};
use poem::{
    Endpoint, EndpointExt as _, Response, Route, Server, get, handler, listener::Acceptor,
    web::Data,
};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::app_state::App;

/// From a read by primary key to a login that waited for its core.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Requests, by their route.
#[derive(Clone)]
pub struct RequestMetrics {
    answered: IntCounterVec,
    seconds: HistogramVec,
}

/// Connections of clients.
#[derive(Clone)]
pub struct ConnectionMetrics {
    /// Those that are open.
    pub open: IntGauge,
    /// How many can be open at a time.
    pub limit: IntGauge,
    /// Those that were closed at once because their client IP had too many.
    pub refused: IntCounter,
    /// Those that were reset because their client did not read its answer.
    pub stalled: IntCounter,
}

/// Passwords on their way through the hasher.
#[derive(Clone)]
pub struct HashMetrics {
    /// How long each waited for a core.
    pub wait: Histogram,
    /// How many wait.
    pub waiting: IntGauge,
    /// How many were turned away.
    pub refused: IntCounter,
}

impl RequestMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When two figures have one name.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let answered = IntCounterVec::new(
            Opts::new(
                "latchkey_http_requests_total",
                "Requests answered, by method, route and status.",
            ),
            &["method", "route", "status"],
        )?;
        let options = HistogramOpts::new(
            "latchkey_http_request_seconds",
            "How long answers took, by method and route.",
        );
        let seconds = HistogramVec::new(options.buckets(SECONDS.to_vec()), &["method", "route"])?;
        registry.register(Box::new(answered.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { answered, seconds })
    }

    /// Notes an answer. The route is the pattern that matched, never the path: of paths there is no end.
    pub fn note(&self, method: &str, route: &str, status: u16, took: Duration) {
        // Nor is there of methods: anybody can make one up.
        let known = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"];
        let method = known
            .into_iter()
            .find(|known| *known == method)
            .unwrap_or("other");
        self.answered
            .with_label_values(&[method, route, &status.to_string()])
            .inc();
        self.seconds
            .with_label_values(&[method, route])
            .observe(took.as_secs_f64());
    }
}

impl ConnectionMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When two figures have one name.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let open = IntGauge::new("latchkey_connections", "Open connections of clients.")?;
        let limit = IntGauge::new(
            "latchkey_connections_limit",
            "How many connections can be open; further ones wait.",
        )?;
        let refused = IntCounter::new(
            "latchkey_connections_refused_total",
            "Connections closed at once because their client IP had too many.",
        )?;
        let stalled = IntCounter::new(
            "latchkey_connections_stalled_total",
            "Connections reset because their client did not read its answer.",
        )?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(limit.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(stalled.clone()))?;
        Ok(Self {
            open,
            limit,
            refused,
            stalled,
        })
    }
}

impl HashMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When two figures have one name.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(
            "latchkey_password_wait_seconds",
            "How long passwords waited for a core.",
        );
        let wait = Histogram::with_opts(options.buckets(SECONDS.to_vec()))?;
        let waiting = IntGauge::new(
            "latchkey_passwords_waiting",
            "Passwords that wait for a core.",
        )?;
        let refused = IntCounter::new(
            "latchkey_passwords_refused_total",
            "Passwords turned away because too many waited.",
        )?;
        registry.register(Box::new(wait.clone()))?;
        registry.register(Box::new(waiting.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Self {
            wait,
            waiting,
            refused,
        })
    }
}

/// Shows the figures until `shutdown` resolves.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    app: App,
    queue: Queue,
    acceptor: impl Acceptor + 'static,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(endpoint(app, queue), shutdown, Some(Duration::from_secs(1)))
        .await
}

fn endpoint(app: App, queue: Queue) -> impl Endpoint {
    Route::new().at("/metrics", get(show)).data(app).data(queue)
}

#[handler]
async fn show(Data(app): Data<&App>, Data(queue): Data<&Queue>) -> Response {
    // For the metric of each dependency.
    Box::pin(app.health.ask(app)).await;
    let text = app.metrics.render(&app.db, queue).await;
    Response::builder()
        .content_type(metrics::CONTENT_TYPE)
        .body(text)
}
