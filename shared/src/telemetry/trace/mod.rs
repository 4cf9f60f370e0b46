//! OpenTelemetry traces: a request, its mail and the SMTP conversation are one trace.
//!
//! Spans of traces have the target [`TARGET`]. Only these go to the collector, and none of them goes to the log. So traces
//! contain no email, code, token, query string, body or log line, because none of these spans records one.

use std::{collections::HashMap, str::FromStr, time::Duration};

use opentelemetry::{
    Context,
    propagation::TextMapPropagator as _,
    trace::{SpanContext, TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::{Metadata, Span, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, filter_fn},
    registry::LookupSpan,
};
use url::Url;

mod client;

/// The target of spans that are exported.
pub const TARGET: &str = "latchkey::trace";

/// The expected form of `OTEL_EXPORTER_OTLP_ENDPOINT`.
pub const EXPECTED: &str = "the http:// URL of an OpenTelemetry collector, such as http://127.0.0.1:4318; not https, as \
                            spans are sent without TLS: a collector next to the program carries them further";

/// The header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";
/// The maximum time for exporting the last spans at a shutdown, which a hung collector must not delay.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// A collector's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(Url);

/// The URL is not usable. [`EXPECTED`] says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACollector;

impl FromStr for Collector {
    type Err = NotACollector;

    fn from_str(text: &str) -> Result<Self, NotACollector> {
        let url = Url::parse(text).map_err(|_| NotACollector)?;
        let plain = url.scheme() == "http"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if plain {
            Ok(Self(url))
        } else {
            Err(NotACollector)
        }
    }
}

impl Collector {
    /// Returns the URL that receives spans (OTLP over HTTP).
    fn spans_url(&self) -> String {
        format!("{}/v1/traces", self.0.as_str().trim_end_matches('/'))
    }
}

/// The exporter of traces, or nothing if tracing is off.
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Disables tracing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Starts the export to a collector, if any. A thread exports the spans every five seconds. While the collector fails, it
    /// keeps a few thousand spans and drops further ones.
    ///
    /// # Errors
    /// If another variable of OpenTelemetry, which the library reads itself, selects a feature that is not built in.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(
        collector: Option<&Collector>,
        service: &'static str,
        version: &'static str,
    ) -> Result<Self, ExporterBuildError> {
        let Some(collector) = collector else {
            return Ok(Self::off());
        };
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client::Client::new())
            .with_endpoint(collector.spans_url())
            .with_protocol(Protocol::HttpBinary)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(opentelemetry::KeyValue::new("service.version", version))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self(Some(provider)))
    }

    /// Returns the layer that exports the spans of the `tracing` crate.
    pub(crate) fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let provider = self.0.as_ref()?;
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("latchkey"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_level(false);
        let filter: FilterFn = filter_fn(|metadata| metadata.is_span() && is_exported(metadata));
        Some(layer.with_filter(filter.with_max_level_hint(LevelFilter::INFO)))
    }

    /// Exports the remaining spans within `time_left`, at most `FLUSH_TIMEOUT`.
    pub async fn finish(self, time_left: Duration) {
        let Some(provider) = self.0 else { return };
        let timeout = time_left.min(FLUSH_TIMEOUT);
        let finished =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(timeout)).await;
        if !matches!(finished, Ok(Ok(()))) {
            tracing::warn!("Export of the last spans failed or timed out");
        }
    }
}

/// Returns whether a span is exported instead of logged.
pub(crate) fn is_exported(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

/// Continues the trace of a `traceparent` with a span that was not yet entered. Without a valid one, the span begins a new trace.
pub fn continue_from(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent else {
        return;
    };
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    // Fails if tracing is off.
    let _ = span.set_parent(parent);
}

/// Returns the `traceparent` of the current span.
#[must_use]
pub fn current() -> Option<String> {
    let context = Context::current();
    let span = context.span();
    let context: &SpanContext = span.span_context();
    context.is_valid().then(|| {
        let (trace, span) = (context.trace_id(), context.span_id());
        format!("00-{trace}-{span}-{:02x}", context.trace_flags().to_u8())
    })
}

/// Returns the trace id of a span.
#[must_use]
pub fn id_of(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| context.trace_id().to_string())
}

/// Renames a running span. A recorded `otel.name` has no effect once the span has begun.
pub fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
}

/// Marks a span as failed. `kind` is a fixed word for the cause.
pub fn fail(span: &Span, kind: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", kind);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collector_url_must_be_plain_http() {
        for (given, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector/", "http://collector/v1/traces"),
            ("http://[::1]:4318/in/", "http://[::1]:4318/in/v1/traces"),
        ] {
            assert_eq!(given.parse::<Collector>().unwrap().spans_url(), url);
        }
        for wrong in [
            "https://collector.example.com",
            "http://user:password@collector",
            "http://user@collector",
            "http://collector?a=1",
            "http://collector#a",
            "127.0.0.1:4318",
            "collector",
            "grpc://collector:4317",
            "http://",
        ] {
            assert_eq!(wrong.parse::<Collector>(), Err(NotACollector), "{wrong}");
        }
    }

    #[test]
    fn span_without_tracing_has_no_traceparent() {
        let span = tracing::info_span!(target: TARGET, "request");
        continue_from(
            &span,
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        );

        let _entered = span.enter();

        assert_eq!(current(), None);
        assert_eq!(id_of(&span), None);
    }
}
