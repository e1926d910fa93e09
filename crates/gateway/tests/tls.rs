//! TLS, and clients that are known by their certificates, on real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::fs::{read, write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use gateway::serve::{Limits, Peer, serve};
use gateway::tls::{Files, Tls, TlsError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const LIMIT: Duration = Duration::from_secs(20);

/// An authority, and files with what it signed.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = TempDir::new().unwrap();
        write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for `localhost`. Gives where it is, and its key.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let (chain, secret) = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        write(&chain, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        write(&secret, key.serialize_pem()).unwrap();
        (chain, secret)
    }
}

/// Reads these files.
fn load(chain: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Tls, TlsError> {
    let files = Files { chain: chain.into(), key: key.into(), client_ca: client_ca.map(Path::to_owned) };
    Tls::load(files)
}

async fn start(tls: Tls, limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let who = async |peer: Extension<Peer>| format!("secure {}, certified {}", peer.secure, peer.certified);
    let router = Router::new().route("/", get(who));
    tokio::spawn(serve(listener, Some(tls), router, limits, std::future::pending()));
    address
}

/// What is answered to somebody who trusts the authority, and which protocol was agreed on; `None` when nothing is.
async fn ask(
    address: SocketAddr,
    authority: &Authority,
    identity: Option<(PathBuf, PathBuf)>,
    protocols: &[&[u8]],
) -> Option<(String, Vec<u8>)> {
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
    let asked = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
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

#[tokio::test]
async fn tls_is_spoken_and_nothing_else() {
    let authority = Authority::new();
    let (chain, key) = authority.sign("server");
    let limits = Limits { first: Duration::from_millis(500), ..Limits::default() };
    let address = start(load(&chain, &key, None).unwrap(), limits).await;
    let (answer, agreed) = ask(address, &authority, None, &[b"http/1.1"]).await.unwrap();
    assert!(answer.ends_with("secure true, certified false"), "{answer}");
    assert_eq!(agreed, b"http/1.1");
    // Both are offered, and the better one is taken.
    let (_, agreed) = ask(address, &authority, None, &[b"http/1.1", b"h2"]).await.unwrap();
    assert_eq!(agreed, b"h2");
    assert!(ask(address, &Authority::new(), None, &[]).await.is_none(), "it is who it says it is");

    // Without TLS, and with nothing at all.
    for begin in ["GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", ""] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        let mut told = Vec::new();
        let _ = timeout(LIMIT, stream.read_to_end(&mut told)).await.expect("it ends in time");
        assert!(!String::from_utf8_lossy(&told).contains("200"));
    }
}

#[tokio::test]
async fn clients_are_known_by_their_certificates() {
    let authority = Authority::new();
    let (chain, key) = authority.sign("server");
    let tls = load(&chain, &key, Some(&authority.file("ca.pem"))).unwrap();
    let address = start(tls, Limits::default()).await;
    let known = ask(address, &authority, Some(authority.sign("client")), &[]).await.unwrap().0;
    assert!(known.ends_with("secure true, certified true"), "{known}");
    let nobody = ask(address, &authority, None, &[]).await;
    assert!(nobody.is_none_or(|(answer, _)| !answer.contains("200 OK")));
    let other = Authority::new();
    let answer = ask(address, &authority, Some(other.sign("client")), &[]).await;
    assert!(answer.is_none_or(|(answer, _)| !answer.contains("200 OK")));
}

#[tokio::test]
async fn files_are_read_again_and_wrong_ones_change_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (chain, key) = authority.sign("server");
    let tls = load(&chain, &key, Some(&authority.file("ca.pem"))).unwrap();
    let address = start(tls.clone(), Limits::default()).await;
    let is_served = async |server: &Authority, client: &Authority| {
        let answer = ask(address, server, Some(client.sign("client")), &[]).await;
        answer.is_some_and(|(answer, _)| answer.contains("200 OK"))
    };
    assert!(is_served(&authority, &authority).await);

    // A key that does not belong to the certificate: what was read before goes on.
    let key_before = read(&key).unwrap();
    write(&key, read(other.sign("server").1).unwrap()).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Unusable(_))));
    assert!(is_served(&authority, &authority).await);

    // All of another authority: those who knew us by the first one do not any more, and we do not know them.
    write(&key, &key_before).unwrap();
    for (name, path) in [("server.pem", &chain), ("server.key", &key), ("ca.pem", &authority.file("ca.pem"))]
    {
        let kept = authority.file(&format!("{name}.before"));
        write(kept, read(path).unwrap()).unwrap();
        write(path, read(other.file(name)).unwrap()).unwrap();
    }
    tls.reload().unwrap();
    assert!(is_served(&other, &other).await);
    assert!(!is_served(&other, &authority).await);
    write(authority.file("ca.pem"), read(authority.file("ca.pem.before")).unwrap()).unwrap();
    assert!(!is_served(&authority, &other).await);
}

#[tokio::test]
async fn a_handshake_does_not_hold_up_the_end() {
    let authority = Authority::new();
    let (chain, key) = authority.sign("server");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let tls = load(&chain, &key, None).unwrap();
    let long = Duration::from_secs(3_600);
    let limits = Limits { first: long, finish: long, ..Limits::default() };
    let serving = tokio::spawn(serve(listener, Some(tls), Router::new(), limits, async {
        let _ = stopped.await;
    }));
    // One that is accepted and says nothing. Who comes behind it speaks TLS, so it is accepted by then.
    let mut silent = TcpStream::connect(address).await.unwrap();
    ask(address, &authority, None, &[]).await.unwrap();
    stop.send(()).unwrap();
    assert_eq!(timeout(LIMIT, serving).await.unwrap().unwrap(), 0);
    assert_eq!(timeout(LIMIT, silent.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
}

#[test]
fn files_that_cannot_be_are_refused_by_name() {
    let authority = Authority::new();
    let (chain, key) = authority.sign("server");
    let (_, other) = authority.sign("other");
    let nowhere = authority.file("nowhere");
    for (chain, key, ca, told) in [
        (&nowhere, &key, None, "nowhere has no certificate"),
        (&key, &key, None, "server.key has no certificate"),
        (&chain, &chain, None, "server.pem has no private key"),
        (&chain, &key, Some(&*nowhere), "nowhere has no certificate"),
        (&chain, &other, None, "the certificates cannot be used"),
    ] {
        let error: TlsError = load(chain, key, ca).err().unwrap();
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
}
