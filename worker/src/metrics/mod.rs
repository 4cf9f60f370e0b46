//! The metrics of the worker and the endpoint that exposes them.

mod deliveries;
mod endpoint;

pub use deliveries::{DeliveryMetrics, InFlightGuard};
pub use endpoint::{MetricsEndpoint, serve};
