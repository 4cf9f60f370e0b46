//! What carries spans to the collector: HTTP without TLS, on the program's own runtime.

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

/// How long the collector may take for one answer.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;
/// How often at most the log tells that the collector does not take what it is sent.
const SILENCE: Duration = Duration::from_mins(10);

/// The client. The thread that gathers spans calls it from outside of the runtime.
#[derive(Debug)]
pub(super) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    runtime: Handle,
    last_told: Mutex<Option<Instant>>,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            http: legacy::Client::builder(TokioExecutor::new()).build_http(),
            runtime: Handle::current(),
            last_told: Mutex::default(),
        }
    }

    /// Seldom, as what fails once fails every few seconds.
    fn tell(&self, reason: &str) {
        let mut last = self
            .last_told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= SILENCE) {
            *last = Some(Instant::now());
            tracing::warn!(
                reason,
                "The collector of OTEL_EXPORTER_OTLP_ENDPOINT does not take spans; nothing else is delayed by it."
            );
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let asked = ask(self.http.clone(), request.map(Full::new));
        // A time-out can be made on the runtime only, so it is made there.
        let asked = self
            .runtime
            .spawn(async { timeout(EXPORT_TIMEOUT, asked).await });
        let answer = match asked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            // The runtime ends, and there is nobody left to tell.
            Err(stopped) => return Err(stopped.into()),
        };
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => self.tell(&format!("HTTP {}", answer.status().as_u16())),
            Err(error) => self.tell(&chain(&**error)),
        }
        answer
    }
}

async fn ask(
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, HttpError> {
    let (head, body) = http.request(request).await?.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// An error with its causes: hyper's own words say little.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
