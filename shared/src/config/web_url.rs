//! URLs of web pages, with which links begin.

use std::net::IpAddr;

use url::Url;

use crate::config::settings::{Environment, Settings};

/// Reads the URL of a setting, without a trailing slash. Returns `None` if it is not set, or is not what is `expected`, which is
/// recorded as a fault. Production refuses `http://` except for loopback addresses.
pub(super) fn read(
    settings: &mut Settings,
    environment: Environment,
    key: &str,
    expected: &str,
) -> Option<Url> {
    let text = settings.text(key)?;
    match Url::parse(text.trim_end_matches('/')) {
        Ok(url) if is_public(&url) && !is_rewritten(&text) => {
            let is_open = url.scheme() == "http" && !is_loopback(&url);
            if is_open && environment == Environment::Production {
                settings.fault(
                    key,
                    "an https:// URL in production; http:// is for loopback addresses",
                );
            }
            Some(url)
        }
        _ => {
            let path = "its path of letters, digits and - _ . ~, without . and .. as segments";
            settings.fault(key, &format!("{expected}, {path}"));
            None
        }
    }
}

/// Returns whether a URL can be the beginning of links: a host with an optional path of plain segments, and nothing else.
fn is_public(url: &Url) -> bool {
    let is_plain = |segment: &str| {
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        !segment.is_empty() && segment.bytes().all(is_unreserved)
    };
    let path = url.path();
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && (path == "/" || path.split('/').skip(1).all(is_plain))
}

/// Returns whether the parser would resolve a dot segment or read a backslash as a slash, so that the parsed path differs from the
/// given one (WHATWG URL, 4.4).
fn is_rewritten(text: &str) -> bool {
    let is_dot = |segment: &str| {
        matches!(
            segment.to_lowercase().replace("%2e", ".").as_str(),
            "." | ".."
        )
    };
    text.contains('\\') || text.split('/').any(is_dot)
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback_host)
}

/// Whether a host is this machine: a loopback address, with or without brackets, or `localhost` (RFC 6761, 6.3).
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}
