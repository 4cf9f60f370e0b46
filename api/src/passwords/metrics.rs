//! Metrics of password hashing.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use crate::http::metrics::DURATION_BUCKETS;

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

impl HashMetrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(
            "latchkey_password_wait_seconds",
            "How long passwords waited for a core.",
        );
        let wait = Histogram::with_opts(options.buckets(DURATION_BUCKETS.to_vec()))?;
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
