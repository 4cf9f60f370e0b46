//! Checks the head of a request before it is routed: its `Host`, and the soft limits of its size.
//!
//! A head over a soft limit gets a response with problem details. A head over the hard limits of `connections` never
//! becomes a request: hyper sends an empty 431 and closes the connection.

use std::net::Ipv6Addr;

use poem::{
    Request,
    http::{HeaderValue, Uri, Version, header},
};

use crate::http::error::ApiError;

/// Maximum size of a request's target, in bytes. RFC 9110, 4.1 asks for 8,000 at least.
const MAX_URI_BYTES: usize = 8 * 1024;

/// Maximum size of a request's header fields, in bytes, each with its colon, space and line end.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Maximum number of a request's header fields. Browsers send some 20, and proxies add a few.
const MAX_HEADER_FIELDS: usize = 64;

/// Checks that a request has exactly one valid `Host` (RFC 9112, 3.2). In HTTP/1.0 it is optional.
pub fn check_host(request: &Request) -> Result<(), ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let valid = match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    };
    if valid {
        Ok(())
    } else {
        Err(ApiError::InvalidHost)
    }
}

/// Returns whether the response to a request must close the connection: if the request has `Transfer-Encoding`. Hyper then
/// ignores `Content-Length`. A proxy may have used it, so that later bytes could be a smuggled request (RFC 9112, 6.1).
#[must_use]
pub fn ends_connection(request: &Request) -> bool {
    request.headers().contains_key(header::TRANSFER_ENCODING)
}

/// Checks the soft limits of the target (RFC 9110, 15.5.15) and of the header fields (RFC 6585, 5).
pub fn check_size(request: &Request) -> Result<(), ApiError> {
    if uri_bytes(request.uri()) > MAX_URI_BYTES {
        return Err(ApiError::UriTooLong);
    }
    let headers = request.headers();
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if headers.len() > MAX_HEADER_FIELDS || bytes > MAX_HEADER_BYTES {
        return Err(ApiError::HeaderTooLarge);
    }
    Ok(())
}

/// Returns whether a field value is a host with an optional port, and nothing more (RFC 9110, 7.2). Refuses percent-encoded names
/// and addresses of future versions, which RFC 3986, 3.2.2 allows, because no server has them.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let host_and_port = if let Some(rest) = text.strip_prefix('[') {
        rest.split_once(']')
            .filter(|(address, _)| address.parse::<Ipv6Addr>().is_ok())
    } else {
        let end = text.find(':').unwrap_or(text.len());
        Some(text.split_at(end)).filter(|(name, _)| is_name(name))
    };
    host_and_port
        .is_some_and(|(_, rest)| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// Returns whether a text is a registered name (`reg-name`) or an IPv4 address.
fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// Returns whether a text consists of the digits of a port, or of none.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn uri_bytes(uri: &Uri) -> usize {
    let authority = uri.authority().map_or(0, |it| it.as_str().len());
    authority + uri.path_and_query().map_or(0, |it| it.as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_a_name_or_an_address_with_an_optional_port() {
        for (text, valid) in [
            ("accounts.example.com", true),
            ("accounts.example.com:8000", true),
            ("accounts.example.com:", true),
            ("127.0.0.1:8000", true),
            ("[2001:db8::1]", true),
            ("[2001:db8::1]:8000", true),
            ("[::ffff:127.0.0.1]", true),
            ("accounts_1.example.com", true),
            ("", false),
            (":8000", false),
            ("[2001:db8::1", false),
            ("a.example:port", false),
            ("a.example:65536", false),
            ("a.example:1:2", false),
            ("a.example:+80", false),
            ("a.example:-80", false),
            ("user@", false),
            ("@a.example", false),
            ("a%2eexample", false),
            ("[xyz]", false),
            ("[127.0.0.1]", false),
            ("[]", false),
            ("[2001:db8::1]8000", false),
            ("[2001:db8::1%25eth0]", false),
            ("2001:db8::1", false),
            ("a[::1]", false),
            ("a\"b", false),
            ("a\tb", false),
            ("user@a.example", false),
            ("a.example/path", false),
            ("a.example, b.example", false),
            ("a.example b.example", false),
            ("http://a.example", false),
            ("a.example?b", false),
            ("a\\b", false),
            ("ä.example", false),
        ] {
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            assert_eq!(is_host(&value), valid, "{text}");
        }
    }
}
