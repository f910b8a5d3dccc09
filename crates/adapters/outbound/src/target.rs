//! Where a request goes, read off its address once.

use std::net::IpAddr;

use ipnet::IpNet;
use stoa_runtime::outbound::Unfetched;
use url::{Host, Url};

use crate::address::is_public;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) is_tls: bool,
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
    /// What the head of the request names: path and query, and the host as it is written there.
    pub(crate) path: String,
    pub(crate) authority: String,
}

fn refused(why: impl Into<String>) -> Unfetched {
    Unfetched::Refused(why.into())
}

impl Target {
    /// Reads an address (WHATWG URL). What it says after this is what is connected to: it is read nowhere else.
    pub(crate) fn parse(text: &str, allowed: &[IpNet]) -> Result<Self, Unfetched> {
        let url = Url::parse(text).map_err(|error| refused(error.to_string()))?;
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(refused(format!("{other} is not https"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("an address holds no user and no password"));
        }
        let host = url.host().ok_or_else(|| refused("it names no host"))?.to_owned();
        let port =
            url.port_or_known_default().filter(|port| *port != 0).ok_or_else(|| refused("it has no port"))?;
        let literal = match &host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        };
        if let Some(address) = literal {
            check(address, allowed)?;
        }
        // Without TLS nobody vouches for who answers: only in networks that the operator has named.
        if !is_tls && allowed.is_empty() {
            return Err(refused("it is not https"));
        }
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        Ok(Self { is_tls, path: path.to_owned(), authority, host, port })
    }

    /// Whether `address`, which the host has, may be connected to.
    pub(crate) fn admits(&self, address: IpAddr, allowed: &[IpNet]) -> Result<(), Unfetched> {
        check(address, allowed)?;
        if !self.is_tls && !allowed.iter().any(|network| network.contains(&address)) {
            return Err(refused("it is not https"));
        }
        Ok(())
    }
}

fn check(address: IpAddr, allowed: &[IpNet]) -> Result<(), Unfetched> {
    if is_public(address) || allowed.iter().any(|network| network.contains(&address)) {
        Ok(())
    } else {
        Err(refused(format!(
            "{address} is no public address; whoever runs the installation can allow it by outbound.allowed_networks"
        )))
    }
}
