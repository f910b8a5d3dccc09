//! One request, one answer, to an address that was checked.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use stoa_kernel::store::BoxFuture;
use stoa_runtime::outbound::{Fetch, Fetched, Outbound, Unfetched};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

use crate::target::Target;

/// Finds the addresses of a host.
pub type Resolve = Arc<dyn Fn(String, u16) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The guarded client.
#[derive(Clone)]
pub struct Guarded {
    allowed: Arc<[IpNet]>,
    /// Made when it is first needed: reading what the system trusts takes time.
    tls: Arc<OnceLock<TlsConnector>>,
    resolve: Resolve,
}

impl std::fmt::Debug for Guarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Unfetched {
    Unfetched::Failed(format!("{what}: {error}"))
}

fn system(host: String, port: u16) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
    Box::pin(async move {
        let found = tokio::net::lookup_host((host, port)).await?;
        Ok(found.map(|address| address.ip()).collect())
    })
}

impl Guarded {
    /// A client that may also connect to `allowed` networks, without TLS too: none, unless the operator says so.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self::resolving(allowed, Arc::new(system))
    }

    /// The same, with another way to find addresses.
    #[must_use]
    pub fn resolving(allowed: Vec<IpNet>, resolve: Resolve) -> Self {
        Self { allowed: allowed.into(), tls: Arc::default(), resolve }
    }

    fn tls(&self) -> Result<&TlsConnector, Unfetched> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier())
            .map_err(|error| failed("TLS", &error))?
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(self.tls.get_or_init(|| TlsConnector::from(Arc::new(tls))))
    }

    /// An address of the target: resolved once, and every address that it has is one that may be asked.
    async fn address(&self, target: &Target) -> Result<SocketAddr, Unfetched> {
        let addresses = match &target.host {
            Host::Ipv4(address) => vec![IpAddr::V4(*address)],
            Host::Ipv6(address) => vec![IpAddr::V6(*address)],
            Host::Domain(name) => (self.resolve)(name.clone(), target.port)
                .await
                .map_err(|error| failed("the host is not known", &error))?,
        };
        addresses.iter().try_for_each(|address| target.admits(*address, &self.allowed))?;
        let address =
            addresses.first().ok_or_else(|| Unfetched::Failed("the host has no address".to_owned()))?;
        Ok(SocketAddr::new(*address, target.port))
    }

    async fn ask(&self, fetch: Fetch) -> Result<Fetched, Unfetched> {
        let target = Target::parse(&fetch.url, &self.allowed)?;
        let address = self.address(&target).await?;
        let stream = TcpStream::connect(address).await.map_err(|error| failed("no connection", &error))?;
        if !target.is_tls {
            return exchange(stream, &target, fetch).await;
        }
        let name = match &target.host {
            Host::Domain(name) => {
                ServerName::try_from(name.clone()).map_err(|error| failed("the host", &error))?
            }
            _ => ServerName::IpAddress(address.ip().into()),
        };
        let stream = self.tls()?.connect(name, stream).await.map_err(|error| failed("no TLS", &error))?;
        exchange(stream, &target, fetch).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    target: &Target,
    fetch: Fetch,
) -> Result<Fetched, Unfetched> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed("no exchange", &error))?;
    let driving = tokio::spawn(connection);
    let (kind, body) = fetch.body.map_or((None, String::new()), |(kind, body)| (Some(kind), body));
    let method = if kind.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder()
        .method(method)
        .uri(&target.path)
        .header(header::HOST, &target.authority)
        .header(header::USER_AGENT, concat!("stoa/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    if let Some(kind) = kind {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    for (name, value) in &fetch.headers {
        request = request.header(name, value);
    }
    let request =
        request.body(Full::new(Bytes::from(body))).map_err(|error| failed("the request", &error))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| failed("no answer", &error))?;
        let status = answer.status().as_u16();
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = answer.into_body();
        let body = if fetch.is_excerpt {
            excerpt(body, fetch.bytes_max).await
        } else {
            let whole = Limited::new(body, fetch.bytes_max).collect().await;
            whole.map_err(|error| failed("the answer", &error))?.to_bytes().to_vec()
        };
        Ok(Fetched { status, headers, body })
    };
    let answer = answer.await;
    driving.abort();
    answer
}

/// The first bytes of a body; what cannot be read any more is left out.
async fn excerpt(mut body: hyper::body::Incoming, bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < bytes_max
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes.extend(frame.data_ref().into_iter().flatten());
    }
    bytes.truncate(bytes_max);
    bytes
}

impl Outbound for Guarded {
    fn fetch(&self, fetch: Fetch) -> BoxFuture<'_, Result<Fetched, Unfetched>> {
        Box::pin(async move {
            let most = Duration::from_millis(fetch.timeout_ms);
            tokio::time::timeout(most, self.ask(fetch))
                .await
                .unwrap_or_else(|_| Err(Unfetched::Failed("no answer in time".to_owned())))
        })
    }

    fn check(&self, url: &str) -> Result<(), Unfetched> {
        Target::parse(url, &self.allowed).map(|_| ())
    }
}
