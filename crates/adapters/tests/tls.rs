//! Clients by TLS: of HTTP, and of gRPC.

#![allow(clippy::unwrap_used, reason = "tests")]

mod certificates;
mod common;

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;

use adapters::hyper::{Client, Unfit, client_with};
use adapters::tonic::{Channel, error_of};
use adapters::tower::{Again, AnsweredBy, Error};
use bytes::Bytes;
use certificates::{Authority, NAME};
use common::{LIMIT, instance, nowhere, standing, within};
use http::Request;
use http::uri::Scheme;
use http_body_util::{BodyExt, Empty};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use loadbalance::{Balancer, RoundRobin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt;
use tower::retry::Retry;

/// Answers one request of each connection with the head that it got.
async fn https(authority: &Authority) -> SocketAddr {
    let (certificate, key) = authority.sign();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap_or(0);
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {read}\r\n\r\n");
            let _ = stream.write_all(&[answer.as_bytes(), &head[..read]].concat()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

type Https = Client<Empty<Bytes>, HttpsConnector<HttpConnector>>;

fn client(balancer: Balancer, trusted: &Authority) -> Https {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(LIMIT));
    tcp.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(config.with_no_client_auth())
        .https_only()
        .with_server_name_resolver(FixedServerNameResolver::new(NAME.try_into().unwrap()))
        .enable_http1()
        .wrap_connector(tcp);
    client_with(balancer, Scheme::HTTPS, move |_| Ok(https.clone()))
}

fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_client_of_https_tells_whom_a_request_named_and_tries_again_where_nothing_was_sent() {
    let authority = Authority::new();
    let (well, stranger) = (https(&authority).await, https(&Authority::new()).await);
    let all = [instance("gone", nowhere()), instance("stranger", stranger), instance("well", well)];
    let balancer = Balancer::fixed(all, RoundRobin::default());
    let client = Retry::new(Again::new(2), client(balancer.clone(), &authority));
    for uri in ["https://time/now?q=1", "/now?q=1", "https://time/now?q=1"] {
        let answer = within("an answer", client.clone().oneshot(get(uri))).await.unwrap();
        assert_eq!(answer.extensions().get::<AnsweredBy>().unwrap().0.id.as_str(), "well");
        let head = within("its body", answer.into_body().collect()).await.unwrap().to_bytes();
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with("GET /now?q=1 HTTP/1.1\r\n"), "{head}");
        assert_eq!(head.contains("host: time\r\n"), uri.starts_with("https"), "{head}");
    }
    assert!(standing(&balancer, "gone").1 > 0 && standing(&balancer, "stranger").1 > 0);
    assert_eq!(standing(&balancer, "well"), (0, 0));
}

#[tokio::test]
async fn a_client_of_https_sends_nothing_that_is_for_http() {
    let authority = Authority::new();
    let balancer = Balancer::fixed([instance("a", https(&authority).await)], RoundRobin::default());
    let asked = client(balancer.clone(), &authority).oneshot(get("http://time/"));
    let error = within("an error", asked).await.unwrap_err();
    let unfit = error.source().and_then(|source| source.downcast_ref());
    assert_eq!(unfit, Some(&Unfit::Scheme));
    assert_eq!(standing(&balancer, "a"), (0, 0));
}

/// The health service of tonic.
async fn grpc(authority: &Authority) -> SocketAddr {
    let (certificate, key) = authority.sign();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_health, service) = tonic_health::server::health_reporter();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    let server = tonic::transport::Server::builder().tls_config(tls).unwrap().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

#[tokio::test]
async fn a_channel_by_tls_trusts_the_certificate_for_the_name_and_sends_a_stranger_nothing() {
    // tonic takes that of the process, which has two where all of this workspace is compiled together.
    let _ = ring::default_provider().install_default();
    let authority = Authority::new();
    let (well, stranger) = (grpc(&authority).await, grpc(&Authority::new()).await);
    let all = [instance("stranger", stranger), instance("well", well)];
    let balancer = Balancer::fixed(all, RoundRobin::default());
    let ca = Certificate::from_pem(&authority.pem);
    let tls = ClientTlsConfig::new().ca_certificate(ca).domain_name(NAME);
    let channel = Channel::with_connections(balancer.clone(), move |instance| {
        let address = instance.data.address.as_ref().ok_or("it has no address")?;
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?;
        Ok(endpoint.connect_timeout(LIMIT).tls_config(tls.clone())?.connect_lazy())
    });
    let mut client = HealthClient::new(channel);
    for failures in 1..=2 {
        let status = within("an answer", client.check(HealthCheckRequest::default())).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(error_of(&status).is_some_and(Error::is_unsent), "{status:?}");
        let answer = within("an answer", client.check(HealthCheckRequest::default())).await.unwrap();
        assert_eq!(answer.extensions().get::<AnsweredBy>().unwrap().0.id.as_str(), "well");
        assert_eq!((standing(&balancer, "stranger"), standing(&balancer, "well")), ((0, failures), (0, 0)));
    }
}
