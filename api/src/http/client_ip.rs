//! The client IP of a request, behind trusted proxies too.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use latchkey_shared::types::client_network::{client_network, client_site, customer_network};
use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderMap, HeaderName, header::FORWARDED},
};

use crate::{
    app_state::App,
    config::proxies::{Proxies, ProxyHeader},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The IP address of a client: that of the socket, or behind a trusted proxy the one that the proxy forwards. Forwarding
/// headers from other sources are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIp(Option<IpAddr>);

impl ClientIp {
    /// Returns the client IP of a request.
    #[must_use]
    pub fn of(request: &Request, proxies: &Proxies) -> Self {
        let socket = request.remote_addr().as_socket_addr();
        Self::resolve(
            socket.map(std::net::SocketAddr::ip),
            request.headers(),
            proxies,
        )
    }

    /// Returns the client IP of a request from the address of its socket and its headers.
    #[must_use]
    pub fn resolve(socket: Option<IpAddr>, headers: &HeaderMap, proxies: &Proxies) -> Self {
        let socket = socket.map(|address| address.to_canonical());
        let Some(proxy) = socket.filter(|address| proxies.trust(address)) else {
            return Self(socket);
        };
        let forwarded =
            |header: HeaderName| Some(proxies.last_untrusted(proxy, hops(headers, &header)?));
        let client_ip = match proxies.header {
            ProxyHeader::XForwardedFor => forwarded(X_FORWARDED_FOR),
            ProxyHeader::Forwarded => forwarded(FORWARDED),
            ProxyHeader::Either => match (forwarded(FORWARDED), forwarded(X_FORWARDED_FOR)) {
                (Some(one), Some(other)) if one != other => None,
                (one, other) => one.or(other),
            },
        };
        Self(Some(client_ip.unwrap_or(proxy)))
    }

    /// Returns the address as text, if it is known.
    #[must_use]
    pub fn address(self) -> Option<String> {
        self.0.map(|address| address.to_string())
    }

    /// Returns the client network, which limits count: the /64 of an IPv6 client, as it can use all of its addresses.
    #[must_use]
    pub fn network(self) -> String {
        self.0.map_or_else(|| "unknown".to_owned(), client_network)
    }

    /// Returns the network that counts as one customer: the address itself for IPv4, and the /48 for IPv6.
    #[must_use]
    pub fn customer_network(self) -> String {
        self.0
            .map_or_else(|| "unknown".to_owned(), customer_network)
    }

    /// Returns the site (/48) of an IPv6 client, which may belong to one customer.
    #[must_use]
    pub fn site(self) -> Option<String> {
        self.0.and_then(client_site)
    }
}

/// Returns the client network of an address: the /64 of an IPv6 address, or the IPv4 address.
#[must_use]
pub fn network(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 64).trunc().into(),
        IpAddr::V4(_) => address.into(),
    }
}

/// Returns the site (/48) of an IPv6 address.
#[must_use]
pub fn site(address: IpAddr) -> Option<IpNet> {
    match address {
        IpAddr::V6(address) => Some(Ipv6Net::new_assert(address, 48).trunc().into()),
        IpAddr::V4(_) => None,
    }
}

impl<'a> FromRequest<'a> for ClientIp {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let proxies = request.data::<App>().map(|app| &app.config.proxies);
        Ok(Self::of(request, proxies.unwrap_or(&Proxies::default())))
    }
}

impl Proxies {
    /// Returns the last address of the list that is not a trusted proxy. Each proxy appends the address of its client, so only
    /// the part that trusted proxies appended is reliable.
    fn last_untrusted(&self, proxy: IpAddr, hops: Vec<Option<IpAddr>>) -> IpAddr {
        let mut client_ip = proxy;
        for hop in hops.into_iter().rev() {
            let Some(address) = hop else { break };
            client_ip = address;
            if !self.trust(&client_ip) {
                break;
            }
        }
        client_ip
    }
}

/// Returns the hops of a header, each `None` if it is not an address. Returns `None` without the header.
fn hops(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<Option<IpAddr>>> {
    let is_forwarded = *name == FORWARDED;
    let parse = if is_forwarded {
        parse_forwarded
    } else {
        parse_address
    };
    let values = headers.get_all(name);
    values.iter().next()?;
    let hops = values
        .iter()
        .flat_map(|value| split_elements(value.as_bytes(), is_forwarded))
        // A client can send bytes that are no text. The hops that proxies appended remain readable.
        .map(|hop| parse(str::from_utf8(hop).ok()?.trim()));
    Some(hops.collect())
}

fn split_elements(value: &[u8], is_forwarded: bool) -> Vec<&[u8]> {
    if is_forwarded {
        split_outside_quotes(value, b',')
    } else {
        value.split(|byte| *byte == b',').collect()
    }
}

/// Parses the `for` of an element of `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https` (RFC 7239, 4).
fn parse_forwarded(element: &str) -> Option<IpAddr> {
    let pairs = split_outside_quotes(element.as_bytes(), b';');
    let mut found = pairs.into_iter().filter_map(|pair| {
        let (name, value) = str::from_utf8(pair).ok()?.split_once('=')?;
        let is_for = name.trim().eq_ignore_ascii_case("for");
        is_for.then(|| parse_address(value.trim().trim_matches('"')))
    });
    match (found.next(), found.next()) {
        (Some(address), None) => address,
        _ => None,
    }
}

/// Splits a value at a separator outside of quoted strings (RFC 9110, 5.6.4), which may contain text of the client. Reads from the right,
/// so that an unclosed quote of the client hides nothing that a proxy appended.
fn split_outside_quotes(value: &[u8], separator: u8) -> Vec<&[u8]> {
    let is_escaped = |quote: usize| {
        let before = value[..quote].iter().rev();
        before.take_while(|byte| **byte == b'\\').count() % 2 == 1
    };
    let (mut parts, mut end, mut is_quoted) = (Vec::new(), value.len(), false);
    for (at, byte) in value.iter().enumerate().rev() {
        if *byte == b'"' && !is_escaped(at) {
            is_quoted = !is_quoted;
        } else if *byte == separator && !is_quoted {
            parts.push(&value[at + 1..end]);
            end = at;
        }
    }
    parts.push(&value[..end]);
    parts.reverse();
    parts
}

/// Parses an address with or without brackets and a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let parsed = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?.parse(),
        None => text.parse().or_else(|_| {
            text.rsplit_once(':')
                .map_or(text, |(address, _)| address)
                .parse()
        }),
    };
    parsed.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_parse_in_every_standard_form() {
        let v4: IpAddr = "192.0.2.60".parse().unwrap();
        let v6: IpAddr = "2001:db8:cafe::17".parse().unwrap();
        for (text, expected) in [
            ("192.0.2.60", Some(v4)),
            ("192.0.2.60:47011", Some(v4)),
            ("::ffff:192.0.2.60", Some(v4)),
            ("[::ffff:192.0.2.60]:47011", Some(v4)),
            ("2001:db8:cafe::17", Some(v6)),
            ("[2001:db8:cafe::17]", Some(v6)),
            ("[2001:db8:cafe::17]:4711", Some(v6)),
            ("unknown", None),
            ("_hidden", None),
            ("", None),
        ] {
            assert_eq!(parse_address(text), expected, "{text}");
        }
        assert_eq!(
            parse_forwarded("For=\"[2001:db8:cafe::17]:4711\";proto=http"),
            Some(v6)
        );
        assert_eq!(parse_forwarded("proto=http;for=192.0.2.60"), Some(v4));
        assert_eq!(parse_forwarded("proto=http"), None);
    }

    /// T4: text of the client within a quoted value of the proxy, such as the host, is no hop.
    #[test]
    fn quoted_text_of_client_is_no_hop() {
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        for value in [
            r#"proto=http;host="a;for=198.51.100.9";for=192.0.2.1"#,
            r#"for=192.0.2.1;proto=http;host="a,for=198.51.100.9""#,
            r#"proto=http;host="a,for=198.51.100.9";for=192.0.2.1"#,
            r#"host="a\",for=198.51.100.9";for=192.0.2.1"#,
        ] {
            let headers = HeaderMap::from_iter([(FORWARDED, value.try_into().unwrap())]);
            assert_eq!(
                hops(&headers, &FORWARDED).unwrap(),
                [Some(client)],
                "{value}"
            );
        }
        assert_eq!(parse_forwarded("for=192.0.2.1;for=198.51.100.9"), None);
    }

    #[test]
    fn ipv6_client_network_is_its_64() {
        let client_ip = |text: &str| ClientIp(Some(text.parse().unwrap())).network();
        assert_eq!(
            client_ip("2001:db8:1:2:3:4:5:6"),
            client_ip("2001:db8:1:2::1")
        );
        assert_ne!(client_ip("2001:db8:1:2::1"), client_ip("2001:db8:1:3::1"));
        assert_ne!(client_ip("192.0.2.1"), client_ip("192.0.2.2"));
    }

    /// T4: the client's part of the header does not hide the hop that the proxy appended.
    #[test]
    fn unreadable_hop_leaves_others_readable() {
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        for (name, prefix) in [(X_FORWARDED_FOR, ""), (FORWARDED, "for=")] {
            for unreadable in [
                &b"\xff"[..],
                b"\xe9\x80",
                b"zz",
                b"\"\xff",
                b"198.51.100.9\xff",
            ] {
                let value = [unreadable, format!(", {prefix}192.0.2.1").as_bytes()].concat();
                let headers = HeaderMap::from_iter([(name.clone(), value.try_into().unwrap())]);
                let found = hops(&headers, &name).unwrap();
                assert_eq!(found, [None, Some(client)], "{name} {unreadable:?}");
            }
        }
    }

    /// T4: if two headers disagree, the client may have sent one of them. Only the configured one is trusted.
    #[test]
    fn conflicting_headers_are_ignored_unless_one_is_configured() {
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let resolve = |pairs: &[(&'static str, &'static str)], header| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            let networks = vec!["10.0.0.0/8".parse().unwrap()];
            let ClientIp(client_ip) =
                ClientIp::resolve(Some(proxy), &headers, &Proxies { networks, header });
            client_ip.unwrap().to_string()
        };
        let (usual, standard) = ("x-forwarded-for", "forwarded");
        let client = (usual, "198.51.100.9, 192.0.2.1");
        let spoofed = (standard, "for=203.0.113.7");
        let (either, named, other) = (
            ProxyHeader::Either,
            ProxyHeader::XForwardedFor,
            ProxyHeader::Forwarded,
        );
        for (pairs, header, expected) in [
            (&[client, spoofed][..], either, "10.0.0.1"),
            (&[client, spoofed], named, "192.0.2.1"),
            (&[client, spoofed], other, "203.0.113.7"),
            (&[client, (standard, "for=192.0.2.1")], either, "192.0.2.1"),
            (&[client, (standard, "")], either, "10.0.0.1"),
            (&[client], either, "192.0.2.1"),
            (&[spoofed], either, "203.0.113.7"),
            (&[spoofed], named, "10.0.0.1"),
            (&[client], other, "10.0.0.1"),
            (&[], either, "10.0.0.1"),
        ] {
            assert_eq!(resolve(pairs, header), expected, "{pairs:?} {header:?}");
        }
    }
}
