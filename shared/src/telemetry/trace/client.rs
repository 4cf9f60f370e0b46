//! The HTTP client that sends spans to the collector, without TLS and on the program's own runtime.

use std::{
    error::Error,
    fmt::Write as _,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

/// The timeout of a request to the collector.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of a response, in bytes.
const MAX_RESPONSE: usize = 64 * 1024;
/// The minimum time between two warnings about the collector.
const WARNING_INTERVAL: Duration = Duration::from_mins(10);

/// The HTTP client. The exporter's thread calls it from outside of the runtime.
#[derive(Debug)]
pub(super) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    runtime: Handle,
    last_warning: Mutex<Option<Instant>>,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            http: legacy::Client::builder(TokioExecutor::new()).build_http(),
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
        let response = send(self.http.clone(), request.map(Full::new));
        // A timeout needs the runtime's timer.
        let response = self
            .runtime
            .spawn(async { timeout(EXPORT_TIMEOUT, response).await });
        let response = match response.await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            // The runtime has stopped.
            Err(stopped) => return Err(stopped.into()),
        };
        match &response {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.warn(&format!("HTTP {}", response.status().as_u16())),
            Err(error) => self.warn(&chain(&**error)),
        }
        response
    }
}

async fn send(
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, HttpError> {
    let (head, body) = http.request(request).await?.into_parts();
    let body = Limited::new(body, MAX_RESPONSE).collect().await?;
    Ok(Response::from_parts(head, body.to_bytes()))
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
