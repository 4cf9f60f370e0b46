//! Metrics of password hashing.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

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
    /// Computed hash functions, by `function`.
    pub computed: IntCounterVec,
    /// Number of functions among the old hashes of imported accounts.
    pub old_functions: IntGauge,
}

/// The name of this service's own hash function in [`HashMetrics::computed`].
pub const ARGON2ID: &str = "argon2id";

impl HashMetrics {
    /// Counts a computation of a hash function.
    pub fn count(&self, function: &str) {
        self.computed.with_label_values(&[function]).inc();
    }

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
        let computed = IntCounterVec::new(
            Opts::new(
                "latchkey_password_hash_functions_total",
                "Hash functions computed for passwords, by function.",
            ),
            &["function"],
        )?;
        // The series begins at 0, so that the first increase is seen.
        computed.with_label_values(&[ARGON2ID]).inc_by(0);
        let old_functions = IntGauge::new(
            "latchkey_password_hash_old_functions",
            "Hash functions of imported accounts that have not logged in since, as failed logins know them.",
        )?;
        registry.register(Box::new(computed.clone()))?;
        registry.register(Box::new(old_functions.clone()))?;
        registry.register(Box::new(wait.clone()))?;
        registry.register(Box::new(waiting.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Self {
            wait,
            waiting,
            refused,
            computed,
            old_functions,
        })
    }
}
