//! Metrics of both programs in Prometheus' text format.
//!
//! No metric is global: a program creates a registry at its start and passes it on. Labels have few values: no addresses or ids.

use std::net::SocketAddr;

use prometheus::{Encoder as _, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use sea_orm::DbBackend;
use tokio::time::timeout;

use crate::{
    config::settings::Settings, database::Database, health::Checks, models::mail::Priority,
    queue::Queue, redis,
};

/// The media type of the text format.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Creates and registers the counter of rows whose retention has ended.
pub fn rows_removed(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let options = Opts::new(
        "latchkey_rows_removed_total",
        "Rows that were deleted or whose data was erased at the end of their retention, by kind.",
    );
    let removed = IntCounterVec::new(options, &["kind"])?;
    registry.register(Box::new(removed.clone()))?;
    Ok(removed)
}

/// The registry of a program, with the metrics that both programs have.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    queue_depth: IntGaugeVec,
    connections: IntGaugeVec,
    checks: Checks,
}

impl Metrics {
    /// Creates the registry of a program.
    pub fn new(program: &str, version: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            Opts::new(
                "latchkey_build_info",
                "Always 1, with the program and its version as labels.",
            ),
            &["program", "version"],
        )?;
        build.with_label_values(&[program, version]).set(1);
        let queue_depth = IntGaugeVec::new(
            Opts::new(
                "latchkey_queue_depth",
                "Wake-ups of workers queued in Redis, by priority; -1 if Redis does not answer.",
            ),
            &["priority"],
        )?;
        let connections = IntGaugeVec::new(
            Opts::new(
                "latchkey_database_connections",
                "Database connections, by state: open or idle.",
            ),
            &["state"],
        )?;
        registry.register(Box::new(build))?;
        registry.register(Box::new(queue_depth.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        let checks = Checks::new(&registry)?;
        Ok(Self {
            registry,
            queue_depth,
            connections,
            checks,
        })
    }

    /// Returns the health checks, whose metric is in this registry.
    #[must_use]
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Returns the registry, for further metrics of the program.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Renders the current values of all metrics in Prometheus' text format.
    pub async fn render(&self, db: &Database, queue: &Queue) -> String {
        for priority in Priority::ALL {
            // A scrape times out after some seconds.
            let depth = timeout(redis::COMMAND_TIMEOUT, queue.depth(priority)).await;
            let depth = depth.ok().and_then(Result::ok);
            let depth = depth.and_then(|depth| i64::try_from(depth).ok());
            self.queue_depth
                .with_label_values(&[priority.as_str()])
                .set(depth.unwrap_or(-1));
        }
        let (open, idle) = pool(db);
        self.connections.with_label_values(&["open"]).set(open);
        self.connections.with_label_values(&["idle"]).set(idle);
        let mut text = Vec::new();
        // Encoding into memory cannot fail.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

/// Reads `METRICS_BIND`, the address of the metrics endpoint. `None` for `off`.
pub fn bind(settings: &mut Settings, default: SocketAddr) -> Option<SocketAddr> {
    match settings.text("METRICS_BIND").as_deref() {
        None => Some(default),
        Some("off") => None,
        Some(text) => {
            let address = text.parse().ok();
            if address.is_none() {
                settings.fault(
                    "METRICS_BIND",
                    "an address and a port, such as 127.0.0.1:9100, or off",
                );
            }
            address
        }
    }
}

/// Returns the numbers of open and idle connections.
fn pool(db: &Database) -> (i64, i64) {
    let (open, idle) = if db.get_database_backend() == DbBackend::Postgres {
        let pool = db.get_postgres_connection_pool();
        (pool.size(), pool.num_idle())
    } else {
        let pool = db.get_sqlite_connection_pool();
        (pool.size(), pool.num_idle())
    };
    (i64::from(open), i64::try_from(idle).unwrap_or(i64::MAX))
}
