//! The network of a client IP, the unit of rate limits.

use std::net::{IpAddr, Ipv6Addr};

/// Returns the network of a client IP: the address itself for IPv4, and the /64 for IPv6, because one subscriber has a whole /64.
#[must_use]
pub fn client_network(client_ip: IpAddr) -> String {
    match client_ip.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => network(address, 64),
    }
}

/// Returns the site that an IPv6 client belongs to: its /48, all of which one customer can have (RFC 6177). An IPv4 client has
/// none.
#[must_use]
pub fn client_site(client_ip: IpAddr) -> Option<String> {
    match client_ip.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(network(address, 48)),
    }
}

/// Returns the largest network that one customer usually has: the address itself for IPv4, and the /48 for IPv6. The mails and
/// code attempts that others can cause at a mailbox count by it.
#[must_use]
pub fn customer_network(client_ip: IpAddr) -> String {
    client_site(client_ip).unwrap_or_else(|| client_network(client_ip))
}

/// The network of an address with a prefix of 1 to 128 bits.
fn network(address: Ipv6Addr, prefix: u32) -> String {
    let network = u128::from(address) & (u128::MAX << (128 - prefix));
    format!("{}/{prefix}", Ipv6Addr::from(network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_client_counts_by_its_64() {
        for (client_ip, network) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(client_network(client_ip.parse().unwrap()), network);
        }
    }

    #[test]
    fn customer_network_is_the_48_of_ipv6() {
        for (client_ip, network) in [
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ] {
            assert_eq!(customer_network(client_ip.parse().unwrap()), network);
        }
    }

    #[test]
    fn ipv6_client_belongs_to_the_site_of_its_48() {
        for (client_ip, site) in [
            ("192.0.2.1", None),
            ("::ffff:192.0.2.1", None),
            ("2001:db8:1:2:3:4:5:6", Some("2001:db8:1::/48")),
            ("2001:db8:1:ffff::", Some("2001:db8:1::/48")),
        ] {
            assert_eq!(client_site(client_ip.parse().unwrap()).as_deref(), site);
        }
    }
}
