//! The reverse proxy of the program, between real services that are registered in a real ZooKeeper and their clients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod certificates;
mod program;

use std::fs::{Permissions, read_to_string, set_permissions, write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use certificates::Authority;
use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use leader::Election;
use program::{Gateway, ask, send, soon};
use proto::{NodeData, Root, ServiceName};
use registry::{Native, Registration, Registry};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use zk_local::Server;
use zk_session::{Keeper, ZooKeeper};

/// A service that says its name and what it was asked for, answers in two parts at `/slow` and speaks another protocol at `/echo`.
struct Service {
    address: SocketAddr,
    /// Lets the second part of a slow answer go.
    go: Arc<Notify>,
}

impl Service {
    async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let go = Arc::new(Notify::new());
        let goes = go.clone();
        let slow = async move || {
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"first "))]);
            let second = stream::once(async move {
                goes.notified().await;
                Ok(Bytes::from_static(b"second"))
            });
            Body::from_stream(first.chain(second))
        };
        let who = async move |request: Request<Body>| {
            let forwarded = request.headers()["x-forwarded-for"].to_str().unwrap().to_owned();
            format!("{name} {} for {forwarded}", request.uri().path())
        };
        let router = Router::new().route("/slow", get(slow)).route("/echo", any(echo)).fallback(who);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, go }
    }

    fn data(&self) -> NodeData {
        NodeData::at(self.address.to_string().parse().unwrap())
    }
}

async fn echo(mut request: Request<Body>) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    let mut headers = HeaderMap::new();
    headers.insert("connection", "upgrade".parse().unwrap());
    headers.insert("upgrade", "websocket".parse().unwrap());
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// Who registers services.
struct Registrar {
    keeper: Keeper,
    registry: Registry,
}

impl Registrar {
    fn at(zk: &str) -> Self {
        let keeper = Keeper::start(ZooKeeper::builder(zk).build().unwrap());
        let registry = Registry::new(keeper.sessions(), Native::default());
        Self { keeper, registry }
    }

    fn announce(&self, name: &str, id: &str, service: &Service) -> Registration {
        self.registry.announce_as(&self::name(name), id.parse().unwrap(), service.data()).unwrap()
    }
}

fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

/// A file of rules, or of anything else.
struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn with(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        let file = Self { _folder: folder, path };
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        write(&self.path, text).unwrap();
        set_permissions(&self.path, Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

async fn proxy(zk: &str, rules: &File) -> Gateway {
    Gateway::start(zk, &["--proxy", "127.0.0.1:0", "--rules", rules.path()]).await
}

const ALL_TO_WEB: &str = "[[rule]]\npath = \"/\"\nservice = \"web\"\n";

#[tokio::test]
async fn requests_go_by_the_rules_to_whoever_is_registered() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let (a, b, c) = (Service::start("a").await, Service::start("b").await, Service::start("c").await);
    let _registered = [
        registrar.announce("web", "a", &a),
        registrar.announce("web", "b", &b),
        registrar.announce("video", "a", &a),
        registrar.announce("video", "b", &b),
    ];
    let election = Election::new(registrar.keeper.sessions(), Root::default());
    let candidacy = election.campaign(&name("directory"), c.data()).unwrap();
    let rules = File::with(
        r#"
        [[rule]]
        path = "/data"
        service = "video"
        algorithm = "url-hash"
        strip_prefix = true

        [[rule]]
        regex = "/v[12]/"
        service = "directory"
        to = "master"

        [[rule]]
        path = "/nobody"
        service = "nobody"

        [[rule]]
        path = "/"
        service = "web"
        "#,
    );
    let gateway = proxy(&zk, &rules).await;

    // In turn.
    for wished in ["a / for 127.0.0.1", "b / for 127.0.0.1", "a / for 127.0.0.1", "b / for 127.0.0.1"] {
        gateway.proxies("/", |status, body| status == 200 && body == wished).await;
    }
    let whose = gateway.proxies("/data/7", |status, _| status == 200).await;
    assert!(whose.ends_with(" /7 for 127.0.0.1"), "{whose}");
    for _ in 0..5 {
        assert_eq!(ask(&gateway.proxy, "GET", "/data/7", "").await, (200, whose.clone()));
    }
    gateway.proxies("/v2/users", |_, body| body == "c /v2/users for 127.0.0.1").await;
    candidacy.resign().await;
    gateway.proxies("/v2/users", |status, body| status == 503 && body.contains("its master")).await;
    let nobody = send(&gateway.proxy, "GET /nobody HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    assert!(nobody.starts_with("HTTP/1.1 503 ") && nobody.contains("\r\nretry-after: 1\r\n"), "{nobody}");
    assert_eq!(gateway.call("GET", "/readyz", "").await.0, 200, "it has a list of each");

    let (_, metrics) = gateway.call("GET", "/metrics", "").await;
    for line in [
        "headkeeper_proxy_requests_total{service=\"video\",outcome=\"good\"} 6",
        "headkeeper_proxy_requests_total{outcome=\"no_rule\"} 0",
        "headkeeper_proxy_request_duration_seconds_count{service=\"video\"} 6",
        "headkeeper_proxy_request_duration_seconds_bucket{le=\"+Inf\",service=\"video\"} 6",
        "headkeeper_proxy_instances_ejected{service=\"web\"} 0",
        "headkeeper_proxy_requests_in_flight{service=\"video\"} 0",
        "headkeeper_proxy_retries_total{service=\"video\"} 0",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} is not in\n{metrics}");
    }
    let nobody = metrics.lines().find(|line| line.contains("service=\"nobody\",outcome=\"nobody\"")).unwrap();
    assert!(!nobody.ends_with(" 0"), "{nobody}");
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
}

#[tokio::test]
async fn who_comes_and_goes_is_found_and_left() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let (a, b) = (Service::start("a").await, Service::start("b").await);
    let gateway = proxy(&zk, &File::with(ALL_TO_WEB)).await;
    gateway.proxies("/", |status, _| status == 503).await;
    let first = registrar.announce("web", "a", &a);
    gateway.proxies("/", |_, body| body.starts_with("a ")).await;
    let _second = registrar.announce("web", "b", &b);
    gateway.proxies("/", |_, body| body.starts_with("b ")).await;
    first.withdraw().await;
    gateway.becomes("/v1/services/web", |_, json| json["instances"].as_array().unwrap().len() == 1).await;
    for _ in 0..4 {
        gateway.proxies("/", |_, body| body.starts_with("b ")).await;
    }
}

#[tokio::test]
async fn rules_are_read_again_and_wrong_ones_are_told_and_left() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let (a, b) = (Service::start("a").await, Service::start("b").await);
    let _registered = [registrar.announce("web", "a", &a), registrar.announce("other", "b", &b)];
    let rules = File::with(ALL_TO_WEB);
    let gateway = proxy(&zk, &rules).await;
    gateway.proxies("/", |_, body| body.starts_with("a ")).await;

    for (wrong, told) in [
        ("[[rule]]\npath = \"/\"\nservice = \"other\"\nalgoritm = \"random\"\n", ": line 4, algoritm: "),
        ("[[rule]\n", ": line 1: "),
        ("", ": there is no rule"),
    ] {
        rules.write(wrong);
        gateway.signal(Signal::HUP);
        gateway.tells(&["ERROR", rules.path(), told, "those of before stay"]).await;
        assert!(ask(&gateway.proxy, "GET", "/", "").await.1.starts_with("a "), "{wrong}");
    }
    rules.write("[[rule]]\npath = \"/\"\nservice = \"other\"\n");
    gateway.signal(Signal::HUP);
    gateway.proxies("/", |_, body| body.starts_with("b ")).await;
    assert_eq!(gateway.stop(Signal::TERM).await, (Some(0), vec!["stopped".to_owned()]));
}

#[tokio::test]
async fn tokens_are_read_again_and_a_signal_without_files_ends_nothing() {
    let read =
        "GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer";
    let tokens = File::with("read first-first-first\n");
    let gateway = Gateway::start("127.0.0.1:9", &["--tokens", tokens.path()]).await;
    let is_accepted = async |token: &str| {
        let answer = send(&gateway.address, &format!("{read} {token}\r\n\r\n")).await;
        answer.starts_with("HTTP/1.1 200 ")
    };
    assert!(is_accepted("first-first-first").await && !is_accepted("second-second-second").await);
    tokens.write("read short\n");
    gateway.signal(Signal::HUP);
    gateway.tells(&["ERROR", tokens.path(), "line 1: ", "those of before stay"]).await;
    assert!(is_accepted("first-first-first").await);
    tokens.write("read second-second-second\n");
    gateway.signal(Signal::HUP);
    gateway.tells(&["tokens are in place"]).await;
    assert!(!is_accepted("first-first-first").await && is_accepted("second-second-second").await);

    let gateway = Gateway::start("127.0.0.1:9", &[]).await;
    gateway.signal(Signal::HUP);
    gateway.tells(&["no file is named"]).await;
    assert_eq!(gateway.call("GET", "/healthz", "").await.0, 200);
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
}

#[tokio::test]
async fn without_zookeeper_requests_go_on_by_the_last_known_list() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let (a, b) = (Service::start("a").await, Service::start("b").await);
    let _registered = [registrar.announce("web", "a", &a), registrar.announce("web", "b", &b)];
    let rules = File::with(ALL_TO_WEB);
    let gateway = proxy(&zk, &rules).await;
    for wished in ["a ", "b "] {
        gateway.proxies("/", |_, body| body.starts_with(wished)).await;
    }
    server.kill().await.unwrap();
    gateway.becomes("/v1/services/web", |_, json| json["source"] == "stale").await;
    for wished in ["a ", "b ", "a ", "b "] {
        let (status, body) = ask(&gateway.proxy, "GET", "/", "").await;
        assert!(status == 200 && body.starts_with(wished), "{status} {body}");
    }
    // Also when rules are read again meanwhile.
    rules.write("[[rule]]\npath = \"/x\"\nservice = \"web\"\n");
    gateway.signal(Signal::HUP);
    gateway.proxies("/", |status, _| status == 404).await;
    assert_eq!(ask(&gateway.proxy, "GET", "/x", "").await.0, 200);
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
}

/// Connects to the proxy and sends this; gives the connection and what came up to this text.
async fn open(address: &str, request: &str, until: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains(until) {
        text.push(char::from(soon(stream.read_u8()).await.unwrap()));
    }
    (stream, text)
}

#[tokio::test]
async fn an_answer_that_is_under_way_is_finished_when_it_is_stopped() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let a = Service::start("a").await;
    let _registered = registrar.announce("web", "a", &a);
    let gateway = proxy(&zk, &File::with(ALL_TO_WEB)).await;
    gateway.proxies("/", |status, _| status == 200).await;
    let (mut stream, _) = open(&gateway.proxy, "GET /slow HTTP/1.1\r\nhost: h\r\n\r\n", "first ").await;
    gateway.signal(Signal::TERM);
    gateway.tells(&["asked to stop"]).await;
    let refused = async { while TcpStream::connect(&gateway.proxy).await.is_ok() {} };
    soon(refused).await;
    a.go.notify_one();
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.contains("second") && rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_eq!(gateway.ended().await, (Some(0), vec!["stopped".to_owned()]));
}

#[tokio::test]
async fn a_tunnel_counts_as_a_connection_and_ends_when_it_is_stopped() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let a = Service::start("a").await;
    let _registered = registrar.announce("web", "a", &a);
    let rules = File::with(ALL_TO_WEB);
    let flags = ["--proxy", "127.0.0.1:0", "--rules", rules.path(), "--connections", "1", "--finish", "1h"];
    let gateway = Gateway::start(&zk, &flags).await;
    gateway.proxies("/", |status, _| status == 200).await;
    let upgrade = "GET /echo HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    let (mut tunnel, head) = open(&gateway.proxy, upgrade, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let speaks = async |tunnel: &mut TcpStream| {
        tunnel.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        soon(tunnel.read_exact(&mut heard)).await.unwrap();
        assert_eq!(&heard, b"hello");
    };
    speaks(&mut tunnel).await;
    // It has the only place: who comes next waits until it ends.
    let mut next = TcpStream::connect(&gateway.proxy).await.unwrap();
    next.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    let waits = tokio::time::timeout(std::time::Duration::from_millis(300), next.read_u8()).await;
    assert!(waits.is_err());
    drop(tunnel);
    let mut answer = String::new();
    soon(next.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("a / for"), "{answer}");

    let (mut tunnel, _) = open(&gateway.proxy, upgrade, "\r\n\r\n").await;
    speaks(&mut tunnel).await;
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0), "within an hour");
    assert_eq!(soon(tunnel.read(&mut [0])).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_request_with_two_lengths_is_refused_at_both_ports() {
    let gateway = proxy("127.0.0.1:9", &File::with(ALL_TO_WEB)).await;
    for address in [&gateway.address, &gateway.proxy] {
        for lengths in [
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "content-length: 5\r\ncontent-length: 6\r\n",
        ] {
            let request = format!(
                "POST /v1/services HTTP/1.1\r\nhost: {address}\r\n{lengths}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: h\r\n\r\n"
            );
            let answer = send(address, &request).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{lengths}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_proxy_has_tls_and_clients_of_its_own() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let a = Service::start("a").await;
    let _registered = registrar.announce("web", "a", &a);
    let (authority, other) = (Authority::new(), Authority::new());
    let (chain, key) = authority.sign("server");
    let ca_of = |authority: &Authority| read_to_string(authority.file("ca.pem")).unwrap();
    let (ca, rules) = (File::with(&ca_of(&authority)), File::with(ALL_TO_WEB));
    let files = [&chain, &key, &ca.path].map(|path| path.to_str().unwrap());
    // Also on all addresses, for who may ask is known.
    let flags = [
        "--proxy",
        "0.0.0.0:0",
        "--rules",
        rules.path(),
        "--proxy-tls-cert",
        files[0],
        "--proxy-tls-key",
        files[1],
    ];
    let gateway = Gateway::start(&zk, &[&flags[..], &["--proxy-tls-client-ca", files[2]]].concat()).await;
    gateway.becomes("/readyz", |status, _| status == 200).await;
    let port = gateway.proxy.rsplit(':').next().unwrap().parse().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let is_served = async |client: Option<&Authority>| {
        let answer = certificates::ask(address, &authority, client.map(|by| by.sign("client")), &[]).await;
        answer.is_some_and(|(answer, _)| answer.contains("200 OK") && answer.ends_with("a / for 127.0.0.1"))
    };
    assert!(is_served(Some(&authority)).await);
    assert!(!is_served(None).await && !is_served(Some(&other)).await);
    // The registry is still asked without.
    assert_eq!(gateway.call("GET", "/healthz", "").await.0, 200);

    ca.write("nothing");
    gateway.signal(Signal::HUP);
    gateway.tells(&["ERROR", ca.path(), "has no certificate", "those of before stay"]).await;
    assert!(is_served(Some(&authority)).await);
    ca.write(&ca_of(&other));
    gateway.signal(Signal::HUP);
    gateway.tells(&["certificates are in place"]).await;
    assert!(is_served(Some(&other)).await && !is_served(Some(&authority)).await);
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
}
