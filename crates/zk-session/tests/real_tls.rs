//! TLS, one-way and mutual, against a real server with certificates made on the spot.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod real;

use std::fs;
use std::net::{SocketAddr, TcpListener};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use real::{connected, options, soon};
use tempfile::TempDir;
use zk_local::{Proxy, Server};
use zk_session::{Acl, Builder, Connect, Error, Kind, Reader, Tls, ZooKeeper};

/// An authority that signs what the test needs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = params("authority", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key.
    fn sign(&self, name: &str, addresses: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        let certificate = params(name, addresses).signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn trusted(&self, identity: Option<(String, String)>) -> Tls {
        Tls { ca_pem: self.pem.clone(), identity }
    }
}

/// As the guide to operating has it.
fn guided(
    servers: &str,
    ca_pem: String,
    certificate_pem: String,
    key_pem: String,
) -> Result<ZooKeeper, Error> {
    // ANCHOR: tls
    let zookeeper = ZooKeeper::builder(servers)
        .tls(Tls { ca_pem, identity: Some((certificate_pem, key_pem)) })
        .build()?;
    // ANCHOR_END: tls
    Ok(zookeeper)
}

fn params(name: &str, addresses: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(addresses).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A server that speaks TLS at the address, as 127.0.0.1.
async fn server(authority: &Authority, client_auth: &str) -> (TempDir, Server, SocketAddr) {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = authority.sign("server", &["127.0.0.1"]);
    let (own, trusted) = (folder.path().join("server.pem"), folder.path().join("trusted.pem"));
    fs::write(&own, certificate + &key).unwrap();
    fs::write(&trusted, &authority.pem).unwrap();
    let start = async |address: SocketAddr| {
        let server = Server::builder()
            .config("serverCnxnFactory", "org.apache.zookeeper.server.NettyServerCnxnFactory")
            .config("secureClientPort", address.port().to_string())
            .config("secureClientPortAddress", address.ip().to_string())
            .config("ssl.keyStore.location", own.to_str().unwrap())
            .config("ssl.keyStore.type", "PEM")
            .config("ssl.trustStore.location", trusted.to_str().unwrap())
            .config("ssl.trustStore.type", "PEM")
            .config("ssl.clientAuth", client_auth);
        server.start().await
    };
    loop {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        match start(address).await {
            Ok(server) => return (folder, server, address),
            // Somebody else was faster at a port that was free a moment ago.
            Err(error) => assert!(error.to_string().contains("BindException"), "{error}"),
        }
    }
}

async fn is_unreachable(builder: Builder) -> bool {
    matches!(soon(builder.build().unwrap().connect()).await, Err(Error::Unreachable { .. }))
}

#[tokio::test]
async fn a_server_is_trusted_for_its_certificate_and_its_address() {
    let authority = Authority::new();
    let (_folder, _server, address) = server(&authority, "none").await;
    let proxy = Proxy::start(address).await.unwrap();
    let zookeeper = options(proxy.address()).tls(authority.trusted(None)).build().unwrap();
    let session = connected(&zookeeper).await;
    session.create("/a", &[7; 60_000], Kind::Ephemeral).await.unwrap();
    proxy.cut();
    soon(session.ended()).await;
    let again = connected(&zookeeper).await;
    assert_eq!(again.id(), session.id());
    assert_eq!(again.get("/a").await.unwrap().unwrap().data, [7; 60_000]);
    zookeeper.close().await;

    let by_name = format!("localhost:{}", address.port());
    assert!(
        is_unreachable(options(by_name).tls(authority.trusted(None))).await,
        "it is not certified by that name"
    );
    assert!(
        is_unreachable(options(address).tls(Authority::new().trusted(None))).await,
        "a stranger signed it"
    );
    assert!(is_unreachable(options(address)).await, "we do not speak TLS");
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate() {
    let authority = Authority::new();
    let (_folder, _server, address) = server(&authority, "need").await;
    let client = |name| options(address).tls(authority.trusted(Some(authority.sign(name, &[]))));
    let readers = Some(Reader::Identity { scheme: "x509".to_owned(), id: "CN=bob".to_owned() });
    let alice = client("alice").acl(Acl::Creator { readers }).build().unwrap();
    let alices = connected(&alice).await;
    alices.create("/a", b"1", Kind::Ephemeral).await.unwrap();
    alices.set("/a", b"2", None).await.unwrap();

    let rejection = |result: Result<(), Error>| match result {
        Err(Error::Rejected { what }) => what,
        other => panic!("{other:?}"),
    };
    let bob = client("bob").build().unwrap();
    let bobs = connected(&bob).await;
    assert_eq!(bobs.get("/a").await.unwrap().unwrap().data, b"2");
    assert_eq!(rejection(bobs.set("/a", b"3", None).await.map(drop)), "not authorized to write /a");
    let (certificate, key) = authority.sign("carol", &[]);
    let carol = guided(&address.to_string(), authority.pem.clone(), certificate, key).unwrap();
    let carols = connected(&carol).await;
    assert_eq!(rejection(carols.get("/a").await.map(drop)), "not authorized to read /a");

    assert!(is_unreachable(options(address).tls(authority.trusted(None))).await, "it wants to know us");
    let stranger = Authority::new().sign("alice", &[]);
    assert!(
        is_unreachable(options(address).tls(authority.trusted(Some(stranger)))).await,
        "a stranger signed it"
    );
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused() {
    let authority = Authority::new();
    let ((certificate, _), (_, key)) = (authority.sign("alice", &[]), authority.sign("bob", &[]));
    let builder = options("127.0.0.1:1").tls(authority.trusted(Some((certificate, key))));
    let refused = match builder.build() {
        Ok(zookeeper) => soon(zookeeper.connect()).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
}
