//! Speaking TLS, and knowing clients by their certificates.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::{Accept, TlsAcceptor};

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

/// What speaks TLS by files, which can be read again. Clones are the same.
#[derive(Clone)]
pub struct Tls {
    files: Arc<Files>,
    config: Arc<ArcSwap<ServerConfig>>,
}

/// What TLS is spoken by.
#[derive(Clone, Debug)]
pub struct Files {
    /// The server's certificate first, then those that signed it, in PEM.
    pub chain: PathBuf,
    /// The private key of the server's certificate, in PEM.
    pub key: PathBuf,
    /// Nobody is served who does not show a certificate that one of those in this file has signed. `None`: nobody is asked for one.
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    /// Reads these files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or what is in them does not go together.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let config = Arc::new(ArcSwap::from_pointee(files.read()?));
        Ok(Self { files: Arc::new(files), config })
    }

    /// Reads the same files once more. Connections that are there stay as they are; those that come are spoken to by what the files say
    /// now, and no session of before is taken up again.
    ///
    /// # Errors
    ///
    /// When that cannot be: then all stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.config.store(Arc::new(self.files.read()?));
        Ok(())
    }

    /// The files that it was read from.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Agrees with a client on TLS.
    pub(crate) fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Accept<S> {
        TlsAcceptor::from(self.config.load_full()).accept(stream)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Files {
    fn read(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone());
        let config = config.with_safe_default_protocol_versions().map_err(unusable)?;
        let config = match &self.client_ca {
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
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|source| TlsError::File {
            path: shown(&self.key),
            what: "private key",
            source: Some(source),
        })?;
        let chain = certificates(&self.chain)?;
        let mut config = config.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
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
