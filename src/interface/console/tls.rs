//! The certificate of the console.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// How to encrypt a connection.
#[derive(Clone)]
pub struct Tls {
    /// Agrees on keys.
    pub acceptor: TlsAcceptor,
    /// The certificate, as its file holds it.
    pub certificate: Arc<Vec<u8>>,
}

impl Tls {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(certificate: &Path, key: &Path) -> Result<Tls, String> {
        let wrong =
            |path: &Path, reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
        let pem = std::fs::read(certificate).map_err(|error| wrong(certificate, &error))?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|_| wrong(certificate, &"it is no certificate in PEM"))?;
        if chain.is_empty() {
            return Err(wrong(certificate, &"it holds no certificate in PEM"));
        }
        // The reason could hold a part of the key.
        let secret = PrivateKeyDer::from_pem_file(key)
            .map_err(|_| wrong(key, &"it holds no key in PEM, or cannot be read"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(certificate, &error))?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| wrong(certificate, &error))?;
        Ok(Tls { acceptor: Arc::new(config).into(), certificate: Arc::new(pem) })
    }
}
