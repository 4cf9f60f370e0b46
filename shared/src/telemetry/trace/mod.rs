//! Traces (OpenTelemetry): a request, its mail and the conversation that carries it are one trace, for a collector.
//!
//! Spans of traces have the target [`TARGET`]. They go to the collector and never into the log; the log's own spans and
//! lines never go to the collector. So neither changes the other, and what is exported is what is written down here: no
//! address, code, token, query string, body or log line.

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

/// The target of spans that belong to traces.
pub const TARGET: &str = "latchkey::trace";

/// What `OTEL_EXPORTER_OTLP_ENDPOINT` has to look like.
pub const EXPECTED: &str = "the http:// URL of an OpenTelemetry collector, such as http://127.0.0.1:4318; not https, as \
                            spans are sent without TLS: a collector next to the program carries them further";

/// The header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";
/// How long the last spans may take at a stop. Who stops a program waits for it, and a hung collector is no reason to.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Where spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(Url);

/// It does not say why; [`EXPECTED`] says what it should be.
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
    /// Where it takes spans (OTLP over HTTP).
    fn spans_url(&self) -> String {
        format!("{}/v1/traces", self.0.as_str().trim_end_matches('/'))
    }
}

/// The traces of a program, or that there are none.
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// None.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Traces for a collector, or none without one. Spans are gathered by a thread of their own and sent every five
    /// seconds; while the collector does not take them, a few thousand wait and further ones are dropped.
    ///
    /// # Errors
    /// When one of the further variables of OpenTelemetry, which the library reads itself, asks for what is not built in.
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

    /// What makes spans for the collector of tracing's spans.
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
        let filter: FilterFn = filter_fn(|metadata| metadata.is_span() && belongs(metadata));
        Some(layer.with_filter(filter.with_max_level_hint(LevelFilter::INFO)))
    }

    /// Sends what is left, for as long as `patience` and three seconds allow.
    pub async fn finish(self, patience: Duration) {
        let Some(provider) = self.0 else { return };
        let patience = patience.min(FLUSH_TIMEOUT);
        let finished =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(patience)).await;
        if !matches!(finished, Ok(Ok(()))) {
            tracing::warn!(
                "The last spans were not sent: the collector did not take them in time."
            );
        }
    }
}

/// Whether a span belongs to traces, and not to the log.
pub(crate) fn belongs(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

/// Lets a span that was not entered yet continue the trace of a `traceparent`. Without one, or with one that is none, it
/// begins a trace of its own.
pub fn continue_from(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent else {
        return;
    };
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    // It fails where there are no traces.
    let _ = span.set_parent(parent);
}

/// The `traceparent` of the span that is being worked in, for whatever continues its trace elsewhere.
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

/// The id of the trace that a span belongs to.
#[must_use]
pub fn id_of(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| context.trace_id().to_string())
}

/// Gives a span that runs another name: what is recorded as `otel.name` is not looked at once a span has begun.
pub fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
}

/// Marks a span as failed; `kind` names how, in few words that are the same each time.
pub fn fail(span: &Span, kind: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", kind);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_to_plain_http_and_nowhere_else() {
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
    fn without_traces_nothing_has_a_traceparent() {
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
