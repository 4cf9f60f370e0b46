//! Who is at the other end of a request.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use latchkey_shared::types::client_network::{client_network, client_site};
use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderMap, HeaderName, header::FORWARDED},
};

use crate::{
    app_state::App,
    config::proxies::{Proxies, ProxyHeader},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address: the socket's, or behind a trusted proxy what that proxy says. Whatever else a client claims
/// about its address is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientIp(Option<IpAddr>);

impl ClientIp {
    /// The client IP of a request.
    #[must_use]
    pub fn of(request: &Request, proxies: &Proxies) -> Self {
        let socket = request.remote_addr().as_socket_addr();
        Self::behind(
            socket.map(std::net::SocketAddr::ip),
            request.headers(),
            proxies,
        )
    }

    /// The client IP of a request that came over a socket with these headers.
    #[must_use]
    pub fn behind(socket: Option<IpAddr>, headers: &HeaderMap, proxies: &Proxies) -> Self {
        let socket = socket.map(|address| address.to_canonical());
        let Some(proxy) = socket.filter(|address| proxies.trust(address)) else {
            return Self(socket);
        };
        let says =
            |header: HeaderName| Some(proxies.first_stranger(proxy, hops(headers, &header)?));
        let (standard, usual) = (FORWARDED, X_FORWARDED_FOR);
        let client_ip = match proxies.header {
            ProxyHeader::XForwardedFor => says(usual),
            ProxyHeader::Forwarded => says(standard),
            ProxyHeader::Either => match (says(standard), says(usual)) {
                (Some(one), Some(other)) if one != other => None,
                (one, other) => one.or(other),
            },
        };
        Self(Some(client_ip.unwrap_or(proxy)))
    }

    /// For the list of sessions.
    #[must_use]
    pub fn address(self) -> Option<String> {
        self.0.map(|address| address.to_string())
    }

    /// For counting: an IPv6 client has a whole /64 to come from, so the /64 is what is counted.
    #[must_use]
    pub fn network(self) -> String {
        self.0.map_or_else(|| "unknown".to_owned(), client_network)
    }

    /// The /48 of an IPv6 client, all of which one customer can have.
    #[must_use]
    pub fn site(self) -> Option<String> {
        self.0.and_then(client_site)
    }
}

/// The addresses that count as one client: the whole /64 of an IPv6 address, or the one IPv4 address.
#[must_use]
pub fn network(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 64).trunc().into(),
        IpAddr::V4(_) => address.into(),
    }
}

/// The /48 around an IPv6 address.
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
    /// Each proxy appends whom it heard from, so the list is believed from its end up to the first stranger.
    fn first_stranger(&self, proxy: IpAddr, hops: Vec<Option<IpAddr>>) -> IpAddr {
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

/// The hops of a header, `None` for one that is no address; nothing where there is no such header.
fn hops(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<Option<IpAddr>>> {
    let read = if *name == FORWARDED { hop_of } else { address };
    let values = headers.get_all(name);
    values.iter().next()?;
    let hops = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|hop| read(hop.trim()));
    Some(hops.collect())
}

/// The `for` of one element, such as `for="[2001:db8::1]:4711";proto=https`.
fn hop_of(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| address(value.trim().trim_matches('"')))?
    })
}

/// An address with or without brackets and a port.
fn address(text: &str) -> Option<IpAddr> {
    let read = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?.parse(),
        None => text.parse().or_else(|_| {
            text.rsplit_once(':')
                .map_or(text, |(address, _)| address)
                .parse()
        }),
    };
    read.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read_in_every_form_that_the_standards_allow() {
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
            assert_eq!(address(text), expected, "{text}");
        }
        assert_eq!(
            hop_of("For=\"[2001:db8:cafe::17]:4711\";proto=http"),
            Some(v6)
        );
        assert_eq!(hop_of("proto=http;for=192.0.2.60"), Some(v4));
        assert_eq!(hop_of("proto=http"), None);
    }

    #[test]
    fn ipv6_is_counted_by_its_64() {
        let client_ip = |text: &str| ClientIp(Some(text.parse().unwrap())).network();
        assert_eq!(
            client_ip("2001:db8:1:2:3:4:5:6"),
            client_ip("2001:db8:1:2::1")
        );
        assert_ne!(client_ip("2001:db8:1:2::1"), client_ip("2001:db8:1:3::1"));
        assert_ne!(client_ip("192.0.2.1"), client_ip("192.0.2.2"));
    }

    /// T4: of two headers that disagree one is the client's own word; nobody knows which, unless it is configured.
    #[test]
    fn two_headers_that_disagree_are_not_believed_and_a_named_one_is_believed_alone() {
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let said = |pairs: &[(&'static str, &'static str)], header| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect();
            let networks = vec!["10.0.0.0/8".parse().unwrap()];
            let ClientIp(client_ip) =
                ClientIp::behind(Some(proxy), &headers, &Proxies { networks, header });
            client_ip.unwrap().to_string()
        };
        let (usual, standard) = ("x-forwarded-for", "forwarded");
        let client = (usual, "198.51.100.9, 192.0.2.1");
        let lie = (standard, "for=203.0.113.7");
        let (either, named, other) = (
            ProxyHeader::Either,
            ProxyHeader::XForwardedFor,
            ProxyHeader::Forwarded,
        );
        for (pairs, header, expected) in [
            (&[client, lie][..], either, "10.0.0.1"),
            (&[client, lie], named, "192.0.2.1"),
            (&[client, lie], other, "203.0.113.7"),
            (&[client, (standard, "for=192.0.2.1")], either, "192.0.2.1"),
            (&[client, (standard, "")], either, "10.0.0.1"),
            (&[client], either, "192.0.2.1"),
            (&[lie], either, "203.0.113.7"),
            (&[lie], named, "10.0.0.1"),
            (&[client], other, "10.0.0.1"),
            (&[], either, "10.0.0.1"),
        ] {
            assert_eq!(said(pairs, header), expected, "{pairs:?} {header:?}");
        }
    }
}
