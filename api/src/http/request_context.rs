//! The outermost layer: gives every request an id, a trace span, a log line and metrics, and every response security headers.
//! Converts errors and panics into problem details.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures_util::FutureExt as _;
use latchkey_shared::telemetry::trace;
use poem::{
    Endpoint, IntoResponse as _, Middleware, PathPattern, Request, Response,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
};
use tracing::{Instrument as _, Span, field::Empty};
use uuid::Uuid;

use crate::http::{
    error::{ApiError, problem::Problem},
    metrics::RequestMetrics,
    request_head,
};

/// The header that carries the id of a request, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The default `Retry-After` of a 503, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// The id of a request: in its response, in its log lines, and in the mails that it causes.
#[derive(Clone, Debug)]
pub struct RequestId(String);

impl RequestId {
    /// Returns the id that the client sent, if it has 8 to 64 letters, digits or hyphens, or a new one.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let given = request.header(REQUEST_ID).filter(|id| {
            (8..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
        Self(given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The middleware of this module.
#[derive(Clone)]
pub struct RequestLayer {
    /// Whether clients use HTTPS, so that responses have `Strict-Transport-Security`.
    pub https: bool,
    /// The path of `PUBLIC_URL`, the prefix of problem types.
    pub base: Arc<str>,
    /// Metrics of requests.
    pub metrics: RequestMetrics,
}

impl<E: Endpoint> Middleware<E> for RequestLayer {
    type Output = RequestEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        RequestEndpoint {
            inner,
            https: self.https,
            base: Arc::clone(&self.base),
            metrics: self.metrics.clone(),
        }
    }
}

/// An endpoint with [`RequestLayer`].
pub struct RequestEndpoint<E> {
    inner: E,
    https: bool,
    base: Arc<str>,
    metrics: RequestMetrics,
}

impl<E: Endpoint> Endpoint for RequestEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let id = RequestId::of(&request);
        let method = method_label(request.method());
        let ends_connection = request_head::ends_connection(&request);
        request.set_data(id.clone());

        let trace_span = trace_span(&request, &id, method);
        let log_span = tracing::info_span!("request", request.id = id.as_str(), trace.id = Empty);
        if let Some(trace_id) = trace::id_of(&trace_span) {
            log_span.record("trace.id", trace_id);
        }
        let mut response = self
            .respond_and_record(request, &id, method, &trace_span)
            .instrument(trace_span.clone())
            .instrument(log_span)
            .await;
        if !self.base.is_empty() {
            prefix_problem_type(&mut response, &self.base);
        }
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.entry(header::RETRY_AFTER).or_insert(RETRY_AFTER);
        }
        let headers = response.headers_mut();
        self.set_security_headers(headers, &id);
        if ends_connection {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// Adds the path of `PUBLIC_URL` to the type of a problem: clients resolve it as a reference (RFC 9457, 3.1.1).
fn prefix_problem_type(response: &mut Response, base: &str) {
    let Some(mut problem) = response.data::<Problem>().cloned() else {
        return;
    };
    problem.kind.insert_str(0, base);
    if let Ok(body) = poem::Body::from_json(&problem) {
        response.set_body(body);
    }
}

/// Returns the trace span of a request, by OpenTelemetry's conventions for HTTP. It continues the client's trace. Of the URL
/// it contains only the route: the rest may contain secrets.
fn trace_span(request: &Request, id: &RequestId, method: &str) -> Span {
    let span = tracing::info_span!(
        target: trace::TARGET,
        "request",
        otel.kind = "server",
        otel.status_code = Empty,
        request.id = id.as_str(),
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        "error.type" = Empty,
    );
    trace::continue_from(&span, request.header("traceparent"));
    span
}

/// Records the response in the trace span.
fn record_response(span: &Span, method: &str, route: Option<&str>, status: u16) {
    if span.is_disabled() {
        return;
    }
    match route {
        Some(route) => {
            trace::rename(span, format!("{method} {route}"));
            span.record("http.route", route);
        }
        None => trace::rename(span, method.to_owned()),
    }
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        trace::fail(span, &status.to_string());
    }
}

/// Returns the name of a method, or `_OTHER` (OpenTelemetry) for one that a client invented.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
    ];
    let known = KNOWN.into_iter().find(|known| method == *known);
    known.unwrap_or("_OTHER")
}

impl<E: Endpoint> RequestEndpoint<E> {
    /// Responds to a request, and records it in the trace, the metrics and the log.
    async fn respond_and_record(
        &self,
        request: Request,
        id: &RequestId,
        method: &'static str,
        trace_span: &Span,
    ) -> Response {
        let start = Instant::now();
        let response = self.respond(request, id).await;
        let duration = start.elapsed();
        let status = response.status().as_u16();
        // If no route matches, the pattern is absent or that of the root.
        let route = response
            .data::<PathPattern>()
            .map(|pattern| &*pattern.0)
            .filter(|pattern| !pattern.is_empty());
        record_response(trace_span, method, route, status);
        let route = route.unwrap_or("unknown");
        self.metrics.record(method, route, status, duration);
        let duration_ms = duration.as_millis();
        // Never the path: some clients send emails and tokens in it.
        tracing::info!(method, route, status, duration_ms, "Request completed");
        response
    }

    async fn respond(&self, request: Request, id: &RequestId) -> Response {
        if let Err(error) = request_head::check_host(&request) {
            return error.into_problem_response(id.as_str());
        }
        match AssertUnwindSafe(self.inner.call(request))
            .catch_unwind()
            .await
        {
            Ok(Ok(output)) => output.into_response(),
            Ok(Err(error)) => ApiError::from_poem(error).into_problem_response(id.as_str()),
            Err(_) => {
                // The panic hook logs the message.
                tracing::error!("Request panicked");
                ApiError::Internal(String::new()).into_problem_response(id.as_str())
            }
        }
    }

    /// Sets the security headers of every response (OWASP Secure Headers). Pages set a content security policy of their own.
    fn set_security_headers(&self, headers: &mut HeaderMap, id: &RequestId) {
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        for (name, default) in [
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; frame-ancestors 'none'",
            ),
            (header::CACHE_CONTROL, "no-store"),
        ] {
            headers
                .entry(name)
                .or_insert(HeaderValue::from_static(default));
        }
        if self.https {
            headers.insert(
                header::STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=63072000; includeSubDomains"),
            );
        }
    }
}
