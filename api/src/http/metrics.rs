//! Metrics of requests.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Buckets of a duration in seconds, from a read by primary key to a login that waited for a core.
pub const DURATION_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Requests, by their route.
#[derive(Clone)]
pub struct RequestMetrics {
    answered: IntCounterVec,
    seconds: HistogramVec,
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
        let seconds = HistogramVec::new(
            options.buckets(DURATION_BUCKETS.to_vec()),
            &["method", "route"],
        )?;
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
