//! Trusted proxies.

use std::{net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};
use latchkey_shared::config::settings::Settings;

/// The proxies whose word about the client's address is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `TRUSTED_PROXIES`: their networks; none by default.
    pub networks: Vec<IpNet>,
    /// `TRUSTED_PROXY_HEADER`: where they say it.
    pub header: ProxyHeader,
}

/// Where a proxy says whom it heard from. A proxy that knows one of the headers passes the other on as the client sent it,
/// so one of them is the client's own word wherever proxies write the other alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// In whichever there is; when both are there and disagree, nobody is believed, and the client is the proxy.
    #[default]
    Either,
    /// In `X-Forwarded-For`.
    XForwardedFor,
    /// In `Forwarded` (RFC 7239).
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
    /// Whether this address is one of theirs.
    #[must_use]
    pub fn trust(&self, address: &IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

/// Reads `TRUSTED_PROXIES`.
pub(super) fn trusted(settings: &mut Settings) -> Vec<IpNet> {
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

/// Returns the IPv4 form of an IPv4-mapped network, which no client IP is in: those are compared in their IPv4 form.
fn unmap(network: &IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(network) = network else {
        return None;
    };
    let prefix = network.prefix_len().checked_sub(96)?;
    Ipv4Net::new(network.network().to_ipv4_mapped()?, prefix).ok()
}
