//! Where the database is, and how it is reached: with TLS when the address asks for it, and then verified, always.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::open::OpenError;

/// A database that can be connected to.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) config: Config,
    pub(crate) tls: MakeRustlsConnect,
}

/// The parameters of an address. `sslmode=verify-ca` and `verify-full` are what `require` is here.
pub(crate) fn parse(url: &str) -> Result<Config, OpenError> {
    let url =
        url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
    url.parse().map_err(|error: tokio_postgres::Error| OpenError::Address(error.to_string()))
}

impl Target {
    /// The target of an address, whose certificate is verified by the authorities of a file, or those that the system trusts.
    pub(crate) fn of(url: &str, ca_file: Option<&Path>) -> Result<Self, OpenError> {
        let mut config = parse(url)?;
        // TLS that nobody asked for could not be relied on, and would not be verified by anybody's choice.
        if config.get_ssl_mode() != SslMode::Require {
            config.ssl_mode(SslMode::Disable);
        }
        let fail = |why: String| OpenError::Address(format!("TLS: {why}"));
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| fail(error.to_string()))?;
        let builder = match ca_file {
            // Nothing would be verified; looking for the system's authorities takes time.
            _ if config.get_ssl_mode() == SslMode::Disable => {
                builder.with_root_certificates(RootCertStore::empty())
            }
            None => builder.with_platform_verifier().map_err(|error| fail(error.to_string()))?,
            Some(path) => {
                let unreadable = |error: &dyn std::fmt::Display| fail(format!("{}: {error}", path.display()));
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
                    let certificate = certificate.map_err(|error| unreadable(&error))?;
                    roots.add(certificate).map_err(|error| unreadable(&error))?;
                }
                if roots.is_empty() {
                    return Err(unreadable(&"there is no certificate in it"));
                }
                builder.with_root_certificates(roots)
            }
        };
        Ok(Self { config, tls: MakeRustlsConnect::new(builder.with_no_client_auth()) })
    }
}
