//! Log lines: readable sentences with dotted fields, on standard error.
//!
//! Never logged: passwords, codes, tokens of any kind, whole e-mail addresses, phone numbers, request bodies.

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

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people at a terminal.
    Text,
    /// One JSON object a line, for collectors.
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

/// The filter when `RUST_LOG` is not set: our own lines, and what goes wrong elsewhere.
pub const DEFAULT_FILTER: &str = "warn,latchkey=info";

/// Starts the log, and the spans of traces beside it. The filter is `RUST_LOG`'s syntax, and for the log alone.
///
/// # Errors
/// When the filter does not parse, or a log runs already.
pub fn start(
    format: LogFormat,
    filter: &str,
    traces: &Traces,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let logged = filter_fn(|metadata| !trace::belongs(metadata));
    let filter = EnvFilter::try_new(filter)?.and(logged.with_max_level_hint(LevelFilter::TRACE));
    let registry = tracing_subscriber::registry().with(traces.layer());
    match format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(std::io::stderr)
                    .with_filter(filter),
            )
            .try_init()?,
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr)
                    .with_filter(filter),
            )
            .try_init()?,
    }
    Ok(())
}
