//! Trusted proxies.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;

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
