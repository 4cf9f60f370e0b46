//! Cross-origin access from browsers (CORS, Fetch Standard 3.3).
//!
//! Pages of configured origins may call the API. Pages of all origins may embed and fetch profile pictures and public keys, without
//! credentials.

use poem::{
    Endpoint, IntoResponse as _, Request, Response,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Cors,
};

use crate::{
    accounts::profile::EMAIL_CONFIRMATION_TOKEN,
    http::{
        error::{ApiError, RATE_LIMIT, RATE_REMAINING, RATE_RESET},
        request_context::{REQUEST_ID, RequestId},
    },
};

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Paths that pages of all origins may fetch: pictures, and the public keys of access tokens.
const PUBLIC_PATHS: [&str; 2] = ["/media/", "/.well-known/"];

/// The request headers allowed for public paths. `*` does not include `Authorization`, which HTTP clients of single-page applications
/// add to every request.
const PUBLIC_HEADERS: HeaderValue = HeaderValue::from_static("authorization, *");

/// Returns the CORS policy for pages of these origins. `credentials` allows them to send cookies.
#[must_use]
pub fn cors(origins: Vec<String>, credentials: bool) -> Cors {
    Cors::new()
        .allow_origins(origins)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([
            REQUEST_ID,
            EMAIL_CONFIRMATION_TOKEN,
            header::RETRY_AFTER,
            RATE_LIMIT,
            RATE_REMAINING,
            RATE_RESET,
        ])
        .allow_credentials(credentials)
        .max_age(600)
}

/// Adds the cross-origin headers of a path to its response. `has_policy` says whether `endpoint` has a [`cors`] policy, whose
/// errors become problems.
pub async fn with_cross_origin_headers(
    endpoint: impl Endpoint,
    request: Request,
    has_policy: bool,
) -> poem::Result<Response> {
    let path = request.uri().path();
    if PUBLIC_PATHS.iter().any(|public| path.starts_with(public)) {
        return public_resource(endpoint, request).await;
    }
    if !has_policy {
        return Ok(endpoint.call(request).await?.into_response());
    }
    let id = request.data::<RequestId>().cloned();
    let takes_cookie = takes_refresh_cookie(path);
    let mut response = match endpoint.call(request).await {
        Ok(output) => output.into_response(),
        Err(error) => ApiError::from_poem(error)
            .into_problem_response(id.as_ref().map_or("", RequestId::as_str)),
    };
    // Also without an `Origin`: a cache must not serve that response to a page of another origin.
    if !takes_cookie {
        let credentials = header::ACCESS_CONTROL_ALLOW_CREDENTIALS;
        response.headers_mut().remove(credentials);
    }
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("Origin"));
    Ok(response)
}

/// Returns whether a path sets or reads the refresh token's cookie. Pages of other origins may send cookies to these paths only, so that
/// they cannot read the dashboard with the cookie of its administrator.
fn takes_refresh_cookie(path: &str) -> bool {
    path.starts_with("/auth/") || path.trim_end_matches('/') == "/api/login"
}

/// Allows pages of any origin to load a resource. The response does not depend on the origin, so it has no `Vary`.
async fn public_resource(endpoint: impl Endpoint, mut request: Request) -> poem::Result<Response> {
    // Without `Origin` the policy of the other paths ignores the request.
    let is_cross_origin = request.headers_mut().remove(header::ORIGIN).is_some();
    let mut response = if is_cross_origin && is_preflight(&request) {
        Response::builder()
            .status(StatusCode::NO_CONTENT)
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD")
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, PUBLIC_HEADERS)
            .header(header::ACCESS_CONTROL_MAX_AGE, 86_400)
            .finish()
    } else {
        endpoint.call(request).await?.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    Ok(response)
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}
