//! Who is at the other end of a request.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderMap, header},
};

use crate::app::App;

/// The client's address: the socket's, or behind a trusted proxy what that proxy says. Whatever else a client claims
/// about its address is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(Option<IpAddr>);

impl Peer {
    /// The peer of a request.
    #[must_use]
    pub fn of(request: &Request, trusted: &[IpNet]) -> Self {
        let socket = request.remote_addr().as_socket_addr();
        Self::behind(
            socket.map(std::net::SocketAddr::ip),
            request.headers(),
            trusted,
        )
    }

    /// The peer of a request that came over a socket with these headers.
    #[must_use]
    pub fn behind(socket: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let socket = socket.map(|address| address.to_canonical());
        let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
        let Some(proxy) = socket.filter(is_trusted) else {
            return Self(socket);
        };
        // Each proxy appends whom it heard from, so the list is believed from its end up to the first stranger.
        let mut peer = proxy;
        for hop in forwarded(headers).into_iter().rev() {
            let Some(address) = hop else { break };
            peer = address;
            if !is_trusted(&peer) {
                break;
            }
        }
        Self(Some(peer))
    }

    /// For the list of sessions.
    #[must_use]
    pub fn address(self) -> Option<String> {
        self.0.map(|address| address.to_string())
    }

    /// For counting: an IPv6 client has a whole /64 to come from, so the /64 is what is counted.
    #[must_use]
    pub fn network(self) -> String {
        match self.0 {
            Some(IpAddr::V6(address)) => Ipv6Net::new(address, 64)
                .map_or_else(|_| address.to_string(), |net| net.trunc().to_string()),
            Some(address) => address.to_string(),
            None => "unknown".to_owned(),
        }
    }
}

impl<'a> FromRequest<'a> for Peer {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let trusted = request
            .data::<App>()
            .map(|app| app.config.trusted_proxies.as_slice());
        Ok(Self::of(request, trusted.unwrap_or_default()))
    }
}

/// The hops of `Forwarded` (RFC 7239), or else of `X-Forwarded-For`; `None` for one that is no address.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let list = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|hop| hop.trim().to_owned())
            .collect()
    };
    let standard = list(header::FORWARDED.as_str());
    if standard.is_empty() {
        return list("x-forwarded-for")
            .iter()
            .map(|hop| address(hop))
            .collect();
    }
    standard.iter().map(|hop| hop_of(hop)).collect()
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
        let peer = |text: &str| Peer(Some(text.parse().unwrap())).network();
        assert_eq!(peer("2001:db8:1:2:3:4:5:6"), peer("2001:db8:1:2::1"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    }
}
