//! `GET /metrics` on `METRICS_BIND`: the metrics of the API.

use std::{future::Future, time::Duration};

use latchkey_shared::{queue::Queue, telemetry::metrics};
use poem::{
    Endpoint, EndpointExt as _, Response, Route, Server, get, handler, listener::Acceptor,
    web::Data,
};
use prometheus::{IntCounter, IntGauge, Registry};

use crate::app_state::App;

/// Metrics of client connections.
#[derive(Clone)]
pub struct ConnectionMetrics {
    /// Open connections.
    pub open: IntGauge,
    /// Maximum number of open connections.
    pub limit: IntGauge,
    /// Connections closed at once because their client IP had too many.
    pub refused: IntCounter,
    /// Connections reset because the client did not read its response.
    pub stalled: IntCounter,
}

impl ConnectionMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let open = IntGauge::new("latchkey_connections", "Open client connections.")?;
        let limit = IntGauge::new(
            "latchkey_connections_limit",
            "Maximum number of open client connections; further ones wait.",
        )?;
        let refused = IntCounter::new(
            "latchkey_connections_refused_total",
            "Connections closed at once because their client IP had too many.",
        )?;
        let stalled = IntCounter::new(
            "latchkey_connections_stalled_total",
            "Connections reset because the client did not read its response.",
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

/// Serves metrics until `shutdown` resolves.
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
    Route::new()
        .at("/metrics", get(metrics_text))
        .data(app)
        .data(queue)
}

#[handler]
async fn metrics_text(Data(app): Data<&App>, Data(queue): Data<&Queue>) -> Response {
    // Updates the metric of each dependency.
    Box::pin(app.health.ask(app)).await;
    let text = app.metrics.render(&app.db, queue).await;
    Response::builder()
        .content_type(metrics::CONTENT_TYPE)
        .body(text)
}
