//! Speaking TLS, and knowing clients by their certificates.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

/// Why TLS cannot be spoken. No text of a key is told.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or does not have what it should.
    #[error("{path} has no {what} in PEM that can be read")]
    File {
        /// Which file.
        path: String,
        /// What should be in it.
        what: &'static str,
        /// Why not, where that is known.
        #[source]
        source: Option<pem::Error>,
    },
    /// What was read does not go together, or cannot be used.
    #[error("the certificates cannot be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What speaks TLS with the certificates of one file, the server's first, and the key of another. With `client_ca` nobody is served who
/// does not show a certificate that one of those in it has signed.
///
/// # Errors
///
/// When a file cannot be read, or what is in them does not go together.
pub fn acceptor(chain: &Path, key: &Path, client_ca: Option<&Path>) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone());
    let config = config.with_safe_default_protocol_versions().map_err(unusable)?;
    let config = match client_ca {
        None => config.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(unusable)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.map_err(|error| TlsError::Unusable(error.into()))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::File {
        path: shown(key),
        what: "private key",
        source: Some(source),
    })?;
    let mut config = config.with_single_cert(certificates(chain)?, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// All certificates of a file, of which there is one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |source| TlsError::File { path: shown(path), what: "certificate", source };
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match all {
        Ok(all) if all.is_empty() => Err(refuse(None)),
        Ok(all) => Ok(all),
        Err(source) => Err(refuse(Some(source))),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn unusable(error: rustls::Error) -> TlsError {
    TlsError::Unusable(error.into())
}
