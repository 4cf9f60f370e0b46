//! What happens to every request, whatever becomes of it: it gets an id, a span, a log line, security headers, and if it
//! fails a problem body. The outermost layer.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures_util::FutureExt as _;
use latchkey_shared::telemetry::trace;
use poem::{
    Endpoint, IntoResponse as _, Middleware, PathPattern, Request, Response,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
};
use tracing::{Instrument as _, Span, field::Empty};
use uuid::Uuid;

use crate::{
    http::metrics::RequestMetrics,
    http::{
        error::{ApiError, problem::Problem},
        request_head,
    },
};

/// The header that carries the id of a request, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// When a request that was answered 503 is worth another try, in seconds, unless its answer knows better.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// The id of a request: in its answer, in every log line about it, and in the mails it causes.
#[derive(Clone, Debug)]
pub struct RequestId(String);

impl RequestId {
    /// The id that the client gave, if it is short and plain, or else a new one.
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

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// See the module.
#[derive(Clone)]
pub struct RequestLayer {
    /// Whether clients come by HTTPS, so that they can be told to keep to it.
    pub https: bool,
    /// The path of `PUBLIC_URL`, which the types of problems begin with.
    pub base: Arc<str>,
    /// Where answers are counted.
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

/// What [`RequestLayer`] makes of an endpoint.
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
        let method = request.method().clone();
        let ends_connection = request_head::ends_connection(&request);
        let start = Instant::now();
        request.set_data(id.clone());

        let traced = traced(&request, &id);
        let logged = tracing::info_span!("request", request.id = id.as_str(), trace.id = Empty);
        if let Some(trace) = trace::id_of(&traced) {
            logged.record("trace.id", trace);
        }
        let mut response = async {
            let response = self.answer(request, &id).await;
            let status = response.status().as_u16();
            let took = start.elapsed();
            // Where no route matched there is no pattern, or that of the root that all others are below.
            let route = response
                .data::<PathPattern>()
                .map(|pattern| &*pattern.0)
                .filter(|pattern| !pattern.is_empty());
            note(&traced, &method, route, status);
            let route = route.unwrap_or("unknown");
            self.metrics.note(method.as_str(), route, status, took);
            let duration_ms = took.as_millis();
            // Never the path itself: clients that err put addresses and tokens there.
            let method = name_of(&method);
            tracing::info!(method, route, status, duration_ms, "Answered.");
            response
        }
        .instrument(traced.clone())
        .instrument(logged)
        .await;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.entry(header::RETRY_AFTER).or_insert(RETRY_AFTER);
        }
        if !self.base.is_empty() {
            place_below(&mut response, &self.base);
        }
        self.set_security_headers(response.headers_mut(), &id);
        if ends_connection {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// Puts the path of `PUBLIC_URL` in front of the type of a problem: it is a reference that clients resolve (RFC 9457, 3.1.1).
fn place_below(response: &mut Response, base: &str) {
    let Some(mut problem) = response.data::<Problem>().cloned() else {
        return;
    };
    problem.kind.insert_str(0, base);
    if let Ok(body) = poem::Body::from_json(&problem) {
        response.set_body(body);
    }
}

/// The span of a request's trace, by OpenTelemetry's conventions for HTTP; a client's trace goes on in it. Of the URL it
/// gets the route alone: the rest may hold anything.
fn traced(request: &Request, id: &RequestId) -> Span {
    let span = tracing::info_span!(
        target: trace::TARGET,
        "request",
        otel.kind = "server",
        otel.status_code = Empty,
        request.id = id.as_str(),
        http.request.method = name_of(request.method()),
        http.route = Empty,
        http.response.status_code = Empty,
        "error.type" = Empty,
    );
    trace::continue_from(&span, request.header("traceparent"));
    span
}

/// Notes in the span of a trace how its request was answered.
fn note(span: &Span, method: &Method, route: Option<&str>, status: u16) {
    if span.is_disabled() {
        return;
    }
    let method = name_of(method);
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

/// Methods that nobody knows are one: clients may invent them.
fn name_of(method: &Method) -> &str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::CONNECT,
        Method::TRACE,
    ];
    if KNOWN.contains(method) {
        method.as_str()
    } else {
        "_OTHER"
    }
}

impl<E: Endpoint> RequestEndpoint<E> {
    async fn answer(&self, request: Request, id: &RequestId) -> Response {
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
                // The panic hook has written the message.
                tracing::error!("A request panicked.");
                ApiError::Internal(String::new()).into_problem_response(id.as_str())
            }
        }
    }

    /// The headers of every answer (OWASP Secure Headers). A page that needs more than nothing brings its own policy.
    fn set_security_headers(&self, headers: &mut HeaderMap, id: &RequestId) {
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers
            .entry(header::REFERRER_POLICY)
            .or_insert(HeaderValue::from_static("no-referrer"));
        headers
            .entry(header::CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static(
                "default-src 'none'; frame-ancestors 'none'",
            ));
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        if self.https {
            headers.insert(
                header::STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=63072000; includeSubDomains"),
            );
        }
    }
}
