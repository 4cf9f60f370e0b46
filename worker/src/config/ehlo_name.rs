//! `SMTP_EHLO_NAME`: the name of the worker in `EHLO`.

use std::{net::Ipv4Addr, str::FromStr};

use lettre::transport::smtp::extension::ClientId;
use url::{Host, Url};

/// The expected form of `SMTP_EHLO_NAME`.
pub const EXPECTED: &str = "a domain name with a dot, such as mail.example.com, or an address literal, [192.0.2.1] or \
                            [IPv6:2001:db8::1]";
/// The longest domain name, in bytes (RFC 1035, 2.3.4).
const MAX_BYTES: usize = 253;

/// The parameter of `EHLO` (RFC 5321, 4.1.1.1): a fully qualified domain name or an address literal (4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EhloName(pub ClientId);

impl EhloName {
    /// Returns the default name: the host of `PUBLIC_URL` if it is a fully qualified domain name or an IP address, else the
    /// loopback address.
    #[must_use]
    pub fn from_public_url(public_url: &Url) -> Self {
        let loopback = ClientId::Ipv4(Ipv4Addr::LOCALHOST);
        Self(match public_url.host() {
            Some(Host::Domain(domain)) => fully_qualified(domain).unwrap_or(loopback),
            Some(Host::Ipv4(address)) => ClientId::Ipv4(address),
            Some(Host::Ipv6(address)) => ClientId::Ipv6(address),
            None => loopback,
        })
    }
}

/// The error for a text that is not an EHLO name. [`EXPECTED`] describes the valid form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnEhloName;

impl FromStr for EhloName {
    type Err = NotAnEhloName;

    fn from_str(text: &str) -> Result<Self, NotAnEhloName> {
        let literal = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let name = match literal {
            Some(literal) => match literal.strip_prefix("IPv6:") {
                Some(address) => address.parse().ok().map(ClientId::Ipv6),
                None => literal.parse().ok().map(ClientId::Ipv4),
            },
            None => match Host::parse(text) {
                Ok(Host::Domain(domain)) => fully_qualified(&domain),
                _ => None,
            },
        };
        name.map(Self).ok_or(NotAnEhloName)
    }
}

/// Returns a domain name if it is fully qualified. Servers reject names without a dot, or with characters other than letters,
/// digits and hyphens.
fn fully_qualified(domain: &str) -> Option<ClientId> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_qualified =
        domain.contains('.') && domain.len() <= MAX_BYTES && domain.split('.').all(is_label);
    is_qualified.then(|| ClientId::Domain(domain.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ehlo_name_is_a_domain_or_address_literal() {
        for (text, expected) in [
            ("mail.example.com", "mail.example.com"),
            ("Mail.Example.com.", "mail.example.com"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ] {
            assert_eq!(text.parse::<EhloName>().unwrap().0.to_string(), expected);
        }
        for bad in [
            "vm",
            "localhost",
            "192.0.2.1",
            "[vm]",
            "[2001:db8::1]",
            "a_b.example.com",
            "-a.example.com",
            "a..example.com",
            "a.example.com\r\nQUIT",
            "a b.example.com",
        ] {
            assert_eq!(bad.parse::<EhloName>(), Err(NotAnEhloName), "{bad}");
        }
    }
}
