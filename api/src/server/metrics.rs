//! `GET /metrics`, on a port of its own: the figures of the API.

use std::{future::Future, time::Duration};

use latchkey_shared::{queue::Queue, telemetry::metrics};
use poem::{
    Endpoint, EndpointExt as _, Response, Route, Server, get, handler, listener::Acceptor,
    web::Data,
};
use prometheus::{IntCounter, IntGauge, Registry};

use crate::app_state::App;

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
