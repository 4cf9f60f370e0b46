//! The HTTP client that sends spans to the collector, without TLS and on the program's own runtime.

use std::{
    error::Error,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, hyper::HyperClient};
use tokio::{runtime::Handle, time::Instant};

/// The timeout of a request to the collector.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// The minimum time between two warnings about the collector.
const WARNING_INTERVAL: Duration = Duration::from_mins(10);

/// The HTTP client. The exporter's thread calls it from outside of the runtime.
#[derive(Debug)]
pub(super) struct Client {
    http: HyperClient,
    runtime: Handle,
    last_warning: Mutex<Option<Instant>>,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            http: HyperClient::with_default_connector(EXPORT_TIMEOUT, None),
            runtime: Handle::current(),
            last_warning: Mutex::default(),
        }
    }

    /// Warns about a failed export. Rate limited, because exports run every few seconds.
    fn warn(&self, reason: &str) {
        let mut last = self
            .last_warning
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            *last = Some(Instant::now());
            tracing::warn!(
                reason,
                "Export of spans to OTEL_EXPORTER_OTLP_ENDPOINT failed. Requests are not affected."
            );
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        // A timeout needs the runtime's timer. The task fails if the runtime has stopped.
        let sending = self
            .runtime
            .spawn(async move { http.send_bytes(request).await });
        let response = sending.await?;
        match &response {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.warn(&format!("HTTP {}", response.status().as_u16())),
            Err(error) => self.warn(&chain(&**error)),
        }
        response
    }
}

/// Returns the text of an error with its sources, because hyper's own text says little.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
