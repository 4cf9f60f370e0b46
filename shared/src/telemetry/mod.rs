//! Logs, traces and process metrics.

pub mod logging;
pub mod metrics;
pub mod trace;
