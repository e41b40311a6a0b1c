//! TLS for both connections of FTP, as it is for HTTPS: the same authorities are trusted. The session of the
//! first goes on in the second, which servers want that will not give a file to somebody else.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};

use super::talk::Stream;
use crate::download::DownloadError;

pub struct Tls(TlsConnector);

impl Tls {
    /// `authorities` in PEM are trusted beside the usual ones. What of them makes no sense `Http` refuses.
    pub fn new(authorities: &[u8]) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities).flatten());
        let provider = tokio_rustls::rustls::crypto::ring::default_provider();
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    pub async fn wrap(&self, connection: TcpStream, host: &str) -> Result<Stream, DownloadError> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(|error| DownloadError::BadUrl(error.into()))?;
        match self.0.connect(name, connection).await {
            Ok(stream) => Ok(Stream::Secret(Box::new(stream))),
            Err(error) if is_about_certificate(&error) => {
                Err(DownloadError::Certificate(error.into()))
            }
            Err(error) => Err(DownloadError::NoConnection(error)),
        }
    }
}

/// Nothing that will be different the next time.
pub fn is_about_certificate(error: &std::io::Error) -> bool {
    let Some(inner) = error.get_ref() else {
        return false;
    };
    // Libraries wrap one such error in another.
    if let Some(io) = inner.downcast_ref::<std::io::Error>() {
        return is_about_certificate(io);
    }
    matches!(
        inner.downcast_ref::<Error>(),
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented)
    )
}
