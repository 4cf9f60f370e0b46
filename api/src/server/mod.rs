//! Routes, layers and the HTTP server.

pub mod calls;
pub mod connections;
pub mod cors;
mod documents;
pub mod health;
pub mod metrics;

use std::{
    future::Future,
    sync::{Arc, LazyLock},
};

use poem::{
    Endpoint, EndpointExt as _, IntoResponse as _, PathPattern, Request, Response, Route, get,
    handler,
    http::{HeaderValue, StatusCode, Uri, header, uri::PathAndQuery},
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
    openapi::Installation,
    server::{
        calls::{description, service},
        connections::Server,
    },
};

/// The methods of each path, which is split into segments. Built at the first request with a wrong method.
type AllowedMethods = LazyLock<Vec<(Vec<String>, String)>>;

/// The original's paths and the start page, each with its path in the contract.
const ALIASES: [(&str, &str); 4] = [
    ("/", "/docs"),
    ("/auth/register", "/api/register"),
    ("/auth/login", "/api/login"),
    ("/auth/user", "/api/user"),
];

/// Returns all routes with their layers.
#[must_use = "an endpoint does nothing until it is served"]
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
        refresh_cookie: app.config.sessions.refresh_cookie,
    };
    let (origins, cookies) = (origins(&app), app.config.sessions.refresh_cookie);
    let allowed = Arc::new(LazyLock::new((|| description().methods()) as fn() -> _));
    let routes = documents::add_to(Route::new(), &installation)
        .nest("/", service())
        .nest("/admin", admin::dashboard::routes())
        .at("/media/:name", get(serve::picture))
        .at("/problems/:name", get(problem))
        .around(move |endpoint, request| {
            with_problems(endpoint, request, app.clone(), Arc::clone(&allowed))
        });
    // Boxed, so that the outer layer moves a pointer instead of a future of several KiB.
    let routes = if origins.is_empty() {
        routes
            .around(|endpoint, request| cors::with_cross_origin_headers(endpoint, request, false))
            .boxed()
    } else {
        routes
            .with(cors::cors(origins, cookies))
            .around(|endpoint, request| cors::with_cross_origin_headers(endpoint, request, true))
            .boxed()
    };
    routes.with(layer)
}

/// Serves until `shutdown` resolves. Then running requests have `SHUTDOWN_SECONDS` to finish.
pub async fn serve(
    app: App,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let shutdown_timeout = app.config.common.shutdown;
    tokio::spawn(health::follow_redis_failures(app.clone()));
    let server = Server {
        settings: app.config.connections,
        proxies: app.config.proxies.clone(),
        metrics: app.connections.clone(),
        endpoint: endpoint(app),
    };
    server.run(listener, shutdown, shutdown_timeout).await
}

/// Passes the state and a canonical path to the routes. Turns errors into problems, which CORS would write as plain text.
async fn with_problems(
    endpoint: impl Endpoint,
    mut request: Request,
    app: App,
    allowed: Arc<AllowedMethods>,
) -> poem::Result<Response> {
    let id = request.data::<RequestId>().cloned();
    if let Err(error) = request_head::check_size(&request) {
        let id = id.as_ref().map_or("", RequestId::as_str);
        return Ok(error.into_problem_response(id));
    }
    canonicalize(request.uri_mut());
    let uri = request.uri().clone();
    request.set_data(app.clone());
    let response = match endpoint.call(request).await {
        Ok(output) => output.into_response(),
        Err(error) => {
            let id = id.as_ref().map_or("", RequestId::as_str);
            // The metrics need the pattern of the path, which the error carries.
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
    if let Some(failure) = response.data::<DependencyFailure>() {
        health::diagnose(app, failure.clone());
    }
    Ok(response)
}

/// Returns the methods of a path. A path outside the OpenAPI document only has `GET` and `HEAD`.
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

/// Explains a problem type to readers who open its URI.
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

/// Removes the trailing slash and resolves [`ALIASES`].
fn canonicalize(uri: &mut Uri) {
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

/// Returns the configured origins and that of `PUBLIC_URL`, as Swagger UI sends an `Origin`, too. Empty if none is configured.
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
    fn path_spellings_have_one_canonical_form() {
        for (spelling, canonical) in [
            ("/", "/docs"),
            ("/api/user", "/api/user"),
            ("/api/user/", "/api/user"),
            ("/auth/user/?a=1", "/api/user?a=1"),
            ("/auth/login", "/api/login"),
            ("/auth/refresh/", "/auth/refresh"),
            ("/api/user//", "/api/user/"),
        ] {
            let mut uri = spelling.parse().unwrap();
            canonicalize(&mut uri);
            assert_eq!(uri.to_string(), canonical, "{spelling}");
        }
    }
}
