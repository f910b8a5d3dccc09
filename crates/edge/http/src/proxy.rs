//! Where a request comes from, when it came through proxies: only those that the operator named are believed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Arc<[IpNet]>);

impl Proxies {
    /// Those of these networks.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who sent a request: each proxy adds at the right whom it heard, so from there on the first that is none of ours. What is left of
    /// it anybody may have written.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let heard = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for heard in heard {
            if !self.has(client) {
                break;
            }
            let Some(next) = address(heard) else { break };
            client = next;
        }
        client
    }
}

/// An address as proxies write it: with a port or without, of IPv6 in brackets or not.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let found = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    found.ok().map(|address| address.to_canonical())
}

/// The middleware before all others: from here on the address of the connection is that of the client.
pub async fn unwrap(State(proxies): State<Proxies>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    if let Some(peer) = peer {
        let client = SocketAddr::new(proxies.client(peer.ip(), request.headers()), peer.port());
        request.extensions_mut().insert(ConnectInfo(client));
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_those_that_are_named_are_believed() {
        let proxies = Proxies::new(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let client = |peer: &str, lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
            }
            proxies.client(peer.parse().unwrap(), &headers).to_string()
        };
        for (peer, lines, found) in [
            // Somebody who is no proxy says what they like.
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            // What stands left of the client, the client wrote.
            ("10.0.0.1", &["127.0.0.1, 198.51.100.7, 10.2.2.2"], "198.51.100.7"),
            ("10.0.0.1", &["127.0.0.1", "198.51.100.7 ,10.2.2.2"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("fd00::1", &["[2001:db8::7]:4711, [fd00::2]"], "2001:db8::7"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            // What is no address ends the way: the last proxy is who we know.
            ("10.0.0.1", &["unknown, 10.2.2.2"], "10.2.2.2"),
            ("10.0.0.1", &["198.51.100.7,"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, lines), found, "{peer} {lines:?}");
        }
        assert_eq!(
            Proxies::default().client("10.0.0.1".parse().unwrap(), &{
                let mut headers = HeaderMap::new();
                headers.append(FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
                headers
            }),
            "10.0.0.1".parse::<IpAddr>().unwrap()
        );
    }
}
