//! An authority that signs certificates, and clients that show them.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::fs::{read_to_string, write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long anything may take: the machine may be busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// An authority, and files with what it signed.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = TempDir::new().unwrap();
        write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        read_to_string(self.file("ca.pem")).unwrap()
    }

    /// Signs a certificate for `localhost`. Gives where it is, and its key.
    pub(crate) fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign_pem();
        let (chain, secret) = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        write(&chain, certificate).unwrap();
        write(&secret, key).unwrap();
        (chain, secret)
    }

    /// The same as texts.
    pub(crate) fn sign_pem(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Speaks TLS over this connection, as somebody who trusts the authority; `None` when that comes to nothing.
pub(crate) async fn speak(
    stream: TcpStream,
    authority: &Authority,
    identity: Option<(PathBuf, PathBuf)>,
    protocols: &[&[u8]],
) -> Option<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.file("ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => config
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(chain).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
}

/// What is answered to somebody who trusts the authority, and which protocol was agreed on; `None` when nothing is.
pub(crate) async fn ask(
    address: SocketAddr,
    authority: &Authority,
    identity: Option<(PathBuf, PathBuf)>,
    protocols: &[&[u8]],
) -> Option<(String, Vec<u8>)> {
    let asked = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = speak(stream, authority, identity, protocols).await?;
        let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec();
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.ok()?;
        let mut answer = Vec::new();
        // What refuses us ends as it likes.
        let _ = stream.read_to_end(&mut answer).await;
        Some((String::from_utf8_lossy(&answer).into_owned(), agreed))
    };
    timeout(LIMIT, asked).await.unwrap()
}
