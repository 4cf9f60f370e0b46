//! Logging: readable sentences with dotted fields, on standard error.
//!
//! Logs never contain passwords, codes, tokens, whole emails, phone numbers or request bodies.

use std::{io::IsTerminal as _, str::FromStr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::telemetry::trace::{self, Traces};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for terminals.
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// The filter without `RUST_LOG`: all lines of Latchkey, and warnings of other crates. apalis, fred and the pool of sqlx are
/// silent, because they repeat each error for every queue and connection; the programs log it once, with the remedy.
pub const DEFAULT_FILTER: &str =
    "warn,latchkey=info,apalis=off,apalis_core=off,apalis_redis=off,fred=off,sqlx_core::pool=off";

/// Starts logging and tracing. The filter has the syntax of `RUST_LOG` and applies to logging only.
///
/// # Errors
/// If the filter does not parse, or logging was already started.
pub fn start(
    format: LogFormat,
    filter: &str,
    traces: &Traces,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let logged = filter_fn(|metadata| !trace::is_exported(metadata));
    let filter = EnvFilter::try_new(filter)?.and(logged.with_max_level_hint(LevelFilter::TRACE));
    // A line that standard error does not take, as on a full disk, is lost. The subscriber would report that there, too, by
    // `eprintln!`, which panics.
    let registry = tracing_subscriber::registry().with(traces.layer());
    match format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(std::io::stderr)
                    .log_internal_errors(false)
                    .with_filter(filter),
            )
            .try_init()?,
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr)
                    .log_internal_errors(false)
                    .with_filter(filter),
            )
            .try_init()?,
    }
    Ok(())
}
