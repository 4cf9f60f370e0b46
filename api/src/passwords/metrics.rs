//! Metrics of password hashing.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use crate::http::metrics::DURATION_BUCKETS;

/// The metrics of the password hasher.
#[derive(Clone)]
pub struct HashMetrics {
    /// Seconds that a password waited for a hash thread.
    pub wait: Histogram,
    /// Number of passwords in the queue.
    pub waiting: IntGauge,
    /// Number of refused passwords.
    pub refused: IntCounter,
}

impl HashMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(
            "latchkey_password_hash_wait_seconds",
            "Seconds that passwords waited for a hash thread.",
        );
        let wait = Histogram::with_opts(options.buckets(DURATION_BUCKETS.to_vec()))?;
        let waiting = IntGauge::new(
            "latchkey_password_hash_queue_depth",
            "Passwords in the hash queue.",
        )?;
        let refused = IntCounter::new(
            "latchkey_password_hash_refused_total",
            "Passwords refused because the hash queue was full or the wait timed out.",
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
