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

/// Checks that a browser can send this text as an `Origin` (RFC 6454, 6.2), so that it can match.
///
/// # Errors
/// When it cannot, with the reason.
pub fn check_origin(text: &str) -> Result<(), String> {
    if text.contains('*') {
        return Err(format!("{text} is a pattern, and only whole origins match"));
    }
    let url = url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| format!("{text} is not http:// or https:// with a host"))?;
    let sent = url.origin().ascii_serialization();
    if sent != text {
        return Err(format!("browsers send {text} as {sent}"));
    }
    let host = url.host_str().unwrap_or_default();
    let is_name = |host: &str| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    if matches!(url.host(), Some(url::Host::Domain(_))) && !is_name(host) {
        return Err(format!("{host} is not a host name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for origin in [
            "https://app.example.com",
            "http://localhost:3000",
            "http://127.0.0.1:5173",
            "http://[::1]:8080",
            "https://xn--bcher-kva.example",
            "https://my_app.example.com",
        ] {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
    }

    #[test]
    fn origins_that_no_browser_sends_are_refused() {
        for origin in [
            "*",
            "https://*",
            "https://*.example.com",
            "https://app.*",
            "null",
            "app.example.com",
            "//app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com?a",
            "https://app.example.com#a",
            "https://user@app.example.com",
            "https://App.example.com",
            "HTTPS://app.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://app.example.com:",
            "https://app.example.com:0443",
            "https://app.example.com:99999",
            "https://bücher.example",
            "https://a.example;b.example",
            "https://a.example'",
            "https://a.example b.example",
            "http://127.1",
            "http://[0:0:0:0:0:0:0:1]",
            "ftp://app.example.com",
            "ws://app.example.com",
            "file:///app",
            "data:text/plain,a",
        ] {
            assert!(check_origin(origin).is_err(), "{origin}");
        }
    }
}
