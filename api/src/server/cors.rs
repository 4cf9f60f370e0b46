//! Cross-origin access from browsers (CORS, Fetch Standard 3.3).
//!
//! The API answers the pages of configured origins and refuses all others. Profile pictures are for every page: any origin
//! may embed and fetch them, without credentials.

use poem::{
    Endpoint, IntoResponse as _, Request, Response,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Cors,
};

use crate::http::{
    error::{ApiError, RATE_LIMIT, RATE_REMAINING, RATE_RESET},
    request_context::{REQUEST_ID, RequestId},
};

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// What a page of any origin may send for a picture. `*` does not cover `Authorization`, which HTTP clients of single-page
/// applications add to every request.
const PICTURE_HEADERS: HeaderValue = HeaderValue::from_static("authorization, *");

/// The policy for the pages of these origins.
#[must_use]
pub fn cors(origins: Vec<String>) -> Cors {
    Cors::new()
        .allow_origins(origins)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([
            REQUEST_ID,
            header::RETRY_AFTER,
            RATE_LIMIT,
            RATE_REMAINING,
            RATE_RESET,
        ])
        .max_age(600)
}

/// Answers a request with the cross-origin headers of its path. `by_origin` says whether `endpoint` has a [`cors`] policy.
///
/// # Errors
/// Never, unless there is no policy and the endpoint fails: the policy's own errors become problems here.
pub async fn answer(
    endpoint: impl Endpoint,
    request: Request,
    by_origin: bool,
) -> poem::Result<Response> {
    if request.uri().path().starts_with("/media/") {
        return share(endpoint, request).await;
    }
    if !by_origin {
        return Ok(endpoint.call(request).await?.into_response());
    }
    let id = request.data::<RequestId>().cloned();
    let mut response = match endpoint.call(request).await {
        Ok(output) => output.into_response(),
        Err(error) => ApiError::from_poem(error)
            .into_problem_response(id.as_ref().map_or("", RequestId::as_str)),
    };
    // Also where there is no `Origin`: a cache must not give that answer to a page of another origin.
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("Origin"));
    Ok(response)
}

/// Answers a request for a picture, for pages of any origin. The answer is the same for all of them, so it has no `Vary`.
async fn share(endpoint: impl Endpoint, mut request: Request) -> poem::Result<Response> {
    // Without its origin the request passes the policy of the other paths.
    let is_cross_origin = request.headers_mut().remove(header::ORIGIN).is_some();
    let mut response = if is_cross_origin && is_preflight(&request) {
        Response::builder()
            .status(StatusCode::NO_CONTENT)
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD")
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, PICTURE_HEADERS)
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
