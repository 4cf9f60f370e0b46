//! Trusted proxies.

use std::{net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};
use latchkey_shared::config::settings::{Environment, Settings};

use crate::config::production;

/// The proxies whose forwarding headers are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `TRUSTED_PROXIES`: their networks.
    pub networks: Vec<IpNet>,
    /// `TRUSTED_PROXY_HEADER`: the header with the client IP.
    pub header: ProxyHeader,
}

/// The header in which a proxy sends the client IP. A proxy that writes one header passes the other on as the client sent it, so
/// only the one that the proxy writes can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// Whichever is present. If both are present and differ, neither is trusted, and the client IP is the proxy's.
    #[default]
    Either,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl FromStr for ProxyHeader {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "either" => Ok(Self::Either),
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err(()),
        }
    }
}

impl Proxies {
    pub(super) fn read(settings: &mut Settings, environment: Environment) -> Self {
        let networks = read_networks(settings);
        if environment == Environment::Production {
            production::check_proxies(settings, &networks);
        }
        let header = settings.choice(
            "TRUSTED_PROXY_HEADER",
            ProxyHeader::Either,
            "either, x-forwarded-for or forwarded",
        );
        Self { networks, header }
    }

    /// Returns whether an address belongs to a trusted proxy.
    #[must_use]
    pub fn trust(&self, address: &IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

/// Reads `TRUSTED_PROXIES`.
fn read_networks(settings: &mut Settings) -> Vec<IpNet> {
    let text = settings.text("TRUSTED_PROXIES").unwrap_or_default();
    let networks: Result<_, _> = text
        .split(',')
        .map(str::trim)
        .filter(|network| !network.is_empty())
        .map(|network| {
            network.parse::<IpNet>().or_else(|error| {
                network
                    .parse::<IpAddr>()
                    .map(IpNet::from)
                    .map_err(|_| error)
            })
        })
        .collect();
    let networks: Vec<IpNet> = networks.unwrap_or_else(|_| {
        settings.fault(
            "TRUSTED_PROXIES",
            "networks like 10.0.0.0/8 or addresses, separated by commas",
        );
        Vec::new()
    });
    for network in &networks {
        if let Some(ipv4) = unmap(network) {
            let expected = format!("{ipv4} instead of the IPv4-mapped network {network}");
            settings.fault("TRUSTED_PROXIES", &expected);
        }
    }
    networks
}

/// Returns the IPv4 form of an IPv4-mapped network. The mapped form matches no client, as client IPs are compared in IPv4 form.
fn unmap(network: &IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(network) = network else {
        return None;
    };
    let prefix = network.prefix_len().checked_sub(96)?;
    Ipv4Net::new(network.network().to_ipv4_mapped()?, prefix).ok()
}
