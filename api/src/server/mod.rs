//! The routes, and the server around them.

pub mod calls;
pub mod connections;
pub mod cors;
pub mod health;
pub mod metrics;

use std::{
    future::Future,
    sync::{Arc, LazyLock},
};

use hyper::body::Bytes;
use poem::{
    Endpoint, EndpointExt as _, IntoResponse as _, PathPattern, Request, Response, Route,
    endpoint::make_sync,
    get, handler,
    http::{HeaderValue, StatusCode, Uri, header, uri::PathAndQuery},
    middleware::SetHeader,
    web::Path,
};

use tokio::net::TcpListener;

use crate::{
    accounts::pictures::serve,
    admin,
    app_state::App,
    http::{
        error::{ApiError, DependencyFailure, ProblemType},
        request_context::{RequestId, RequestLayer},
        request_head,
    },
    openapi::{Description, Installation, PAGE_POLICY},
    server::{
        calls::{description, service},
        connections::Server,
    },
};

/// Paths, in segments, with the methods that each takes; made when the first request has a wrong one.
type Allowed = LazyLock<Vec<(Vec<String>, String)>>;

/// What the original's code serves, and where the contract has it; and what somebody finds who was told no path.
const ALIASES: [(&str, &str); 4] = [
    ("/", "/docs"),
    ("/auth/register", "/api/register"),
    ("/auth/login", "/api/login"),
    ("/auth/user", "/api/user"),
];

/// Everything that answers, in its layers.
#[must_use = "an endpoint answers nothing until it is served"]
pub fn endpoint(app: App) -> impl Endpoint<Output = Response> + 'static {
    let common = &app.config.common;
    let layer = RequestLayer {
        https: common.public_url.scheme() == "https",
        base: common.base_path().into(),
        metrics: app.requests.clone(),
    };
    let installation = Installation {
        base: common.base_path().to_owned(),
        min_password: app.passwords.min_length,
    };
    let documented = |make: fn(&Description, &Installation) -> String| {
        let installation = installation.clone();
        move || make(&description(), &installation)
    };
    let origins = origins(&app);
    let allowed = Arc::new(LazyLock::new((|| description().methods()) as fn() -> _));
    let routes = Route::new()
        .nest("/", service())
        .nest("/admin", admin::dashboard::routes())
        .at(
            "/docs",
            get(text(
                "text/html; charset=utf-8",
                documented(Description::swagger_ui),
            )
            .with(SetHeader::new().overriding(header::CONTENT_SECURITY_POLICY, PAGE_POLICY))),
        )
        .at(
            "/openapi.json",
            get(text("application/json", documented(Description::json))),
        )
        .at(
            "/openapi.yaml",
            get(text("application/yaml", documented(Description::yaml))),
        )
        .at("/media/:name", get(serve::picture))
        .at("/problems/:name", get(problem))
        .around(move |endpoint, request| {
            answer(endpoint, request, app.clone(), Arc::clone(&allowed))
        });
    // Boxed, so that the layer outside moves a pointer to a request's future, which is of several KiB.
    let routes = if origins.is_empty() {
        routes
            .around(|endpoint, request| cors::answer(endpoint, request, false))
            .boxed()
    } else {
        routes
            .with(cors::cors(origins))
            .around(|endpoint, request| cors::answer(endpoint, request, true))
            .boxed()
    };
    routes.with(layer)
}

/// Serves until `shutdown` resolves, then finishes what has begun for as long as `SHUTDOWN_SECONDS` allows.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    app: App,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let grace = app.config.common.shutdown;
    let server = Server {
        settings: app.config.connections,
        proxies: app.config.proxies.clone(),
        metrics: app.connections.clone(),
        endpoint: endpoint(app),
    };
    server.run(listener, shutdown, grace).await
}

/// Gives the routes the state and a path in one spelling, and makes problems of errors before CORS sees them, which else
/// would write them as plain text.
async fn answer(
    endpoint: impl Endpoint,
    mut request: Request,
    app: App,
    allowed: Arc<Allowed>,
) -> poem::Result<Response> {
    let id = request.data::<RequestId>().cloned();
    if let Err(error) = request_head::check_size(&request) {
        let id = id.as_ref().map_or("", RequestId::as_str);
        return Ok(error.into_problem_response(id));
    }
    canonicalise(request.uri_mut());
    let uri = request.uri().clone();
    request.set_data(app.clone());
    let response = match endpoint.call(request).await {
        Ok(output) => output.into_response(),
        Err(error) => {
            let id = id.as_ref().map_or("", RequestId::as_str);
            // The figures go by the pattern, which the error carries as an answer would.
            let pattern = error.data::<PathPattern>().cloned();
            let mut response = ApiError::from_poem(error).into_problem_response(id);
            if let Some(pattern) = pattern {
                response.set_data(pattern);
            }
            if response.status() == StatusCode::METHOD_NOT_ALLOWED {
                let methods = methods_of(uri.path(), &allowed);
                response.headers_mut().insert(header::ALLOW, methods);
            }
            response
        }
    };
    if let Some(DependencyFailure(error)) = response.data() {
        health::diagnose(app, error.clone());
    }
    Ok(response)
}

/// The methods that a path takes; what is in no document is only for reading.
fn methods_of(path: &str, allowed: &[(Vec<String>, String)]) -> HeaderValue {
    let segments: Vec<_> = path.trim_matches('/').split('/').collect();
    let matches = |pattern: &[String]| {
        pattern.len() == segments.len()
            && pattern
                .iter()
                .zip(&segments)
                .all(|(pattern, segment)| pattern.starts_with('{') || pattern == segment)
    };
    allowed
        .iter()
        .find(|(pattern, _)| matches(pattern))
        .and_then(|(_, methods)| HeaderValue::from_str(methods).ok())
        .unwrap_or(HeaderValue::from_static("GET, HEAD"))
}

/// A text that is made when it is first asked for, and kept: most never are. All answers share its memory, however many
/// clients read it slowly.
fn text(
    media_type: &'static str,
    make: impl FnOnce() -> String + Send + 'static,
) -> impl Endpoint<Output = Response> {
    let body = LazyLock::new(|| Bytes::from(make()));
    make_sync(move |_| {
        Response::builder()
            .content_type(media_type)
            .body(Bytes::clone(&body))
    })
}

/// What a problem type means, for people who follow its URI.
#[handler]
fn problem(Path(name): Path<String>) -> poem::Result<String> {
    let problem = ProblemType::all()
        .find(|problem| problem.name == name)
        .ok_or(ApiError::NotFound)?;
    Ok(format!(
        "{} (HTTP {})\n\n{}\n",
        problem.title,
        problem.status.as_u16(),
        problem.detail
    ))
}

/// Takes the trailing slash off, and resolves the original's paths: one route serves all spellings.
fn canonicalise(uri: &mut Uri) {
    let path = uri.path();
    let trimmed = if path.len() > 1 {
        path.strip_suffix('/').unwrap_or(path)
    } else {
        path
    };
    let canonical = ALIASES
        .iter()
        .find(|(alias, _)| *alias == trimmed)
        .map_or(trimmed, |(_, path)| path);
    if canonical == path {
        return;
    }
    let target = match uri.query() {
        Some(query) => format!("{canonical}?{query}"),
        None => canonical.to_owned(),
    };
    if let Ok(target) = target.parse::<PathAndQuery>() {
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(target);
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
}

/// The configured origins and our own, whose pages (Swagger UI) send an `Origin`, too; none when none are configured.
fn origins(app: &App) -> Vec<String> {
    let mut origins = app.config.cors_origins.clone();
    if !origins.is_empty() {
        origins.push(app.config.common.public_url.origin().ascii_serialization());
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_one() {
        for (spelt, canonical) in [
            ("/", "/docs"),
            ("/api/user", "/api/user"),
            ("/api/user/", "/api/user"),
            ("/auth/user/?a=1", "/api/user?a=1"),
            ("/auth/login", "/api/login"),
            ("/auth/refresh/", "/auth/refresh"),
            ("/api/user//", "/api/user/"),
        ] {
            let mut uri = spelt.parse().unwrap();
            canonicalise(&mut uri);
            assert_eq!(uri.to_string(), canonical, "{spelt}");
        }
    }
}
