//! Metrics of HTTP requests.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Histogram buckets in seconds, from a read by primary key to a login that waits for its hash.
pub const DURATION_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Counts HTTP requests and measures their duration.
#[derive(Clone)]
pub struct RequestMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl RequestMetrics {
    /// Creates and registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new(
                "latchkey_http_requests_total",
                "HTTP requests, by method, route and status.",
            ),
            &["method", "route", "status"],
        )?;
        let options = HistogramOpts::new(
            "latchkey_http_request_duration_seconds",
            "Duration of HTTP requests in seconds, by method and route.",
        );
        let seconds = HistogramVec::new(
            options.buckets(DURATION_BUCKETS.to_vec()),
            &["method", "route"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { requests, seconds })
    }

    /// Records a completed request. `method` and `route` come from fixed sets: clients can invent methods and paths.
    pub fn record(&self, method: &str, route: &str, status: u16, duration: Duration) {
        self.requests
            .with_label_values(&[method, route, &status.to_string()])
            .inc();
        self.seconds
            .with_label_values(&[method, route])
            .observe(duration.as_secs_f64());
    }
}
