//! The examples that connect to somebody do on a real ZooKeeper what they do on the fake one.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::process::Stdio;

use gateway::{App, Fleet, Guard, api, fleet};
use proto::ServiceName;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use registry::{Native, Registry};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use zk_local::Server;
use zk_session::{Keeper, ZooKeeper};

use self::common::{LIMIT, program};

/// An example that runs. It ends with the test.
struct Example {
    name: &'static str,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &'static str, variable: &str, value: &str) -> Self {
        Self::start_with(name, variable, value, &[])
    }

    fn start_with(name: &'static str, variable: &str, value: &str, more: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program(name));
        command
            .envs(more.iter().copied())
            .env(variable, value)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("`cargo build --examples` builds it");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { name, child, lines }
    }

    /// The next line with this in it.
    async fn says(&mut self, what: &str) -> String {
        let name = self.name;
        let said = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(what) {
                    return line;
                }
            }
            panic!("{name} ends without {what:?}");
        };
        timeout(LIMIT, said).await.unwrap_or_else(|_| panic!("{name} does not say {what:?}"))
    }

    async fn ends_well(mut self) {
        let status = timeout(LIMIT, self.child.wait()).await.expect("it ends").unwrap();
        assert!(status.success(), "{}: {status}", self.name);
    }

    /// `-INT`, as Ctrl-C does, or `-TERM`, as a deploy does.
    async fn gets(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
    }
}

#[tokio::test]
async fn each_adapter_works_on_a_real_zookeeper() {
    let server = Server::start().await.unwrap();
    let table: [(&str, &[&str]); 7] = [
        ("tower_balance", &["200 OK after ", ": noon"]),
        ("tower_discover", &[": noon", ": one o'clock"]),
        ("hyper_client", &["\"noon\"", "requests were answered meanwhile", "Ended { cut: 0 }"]),
        ("tonic_channel", &["is watched", "says Serving", "no instance can be asked"]),
        ("tonic_again", &["not sent: instance ", "says Serving"]),
        ("grpc_server", &["it says Serving", "RPCs were answered meanwhile, Ended { cut: 0 }"]),
        ("watched", &["example_connected 1", "example_registered 1", "example_candidates 1"]),
    ];
    for (name, parts) in table {
        let mut example = Example::start(name, "ZK_CONNECT", &server.connect_string());
        let mut line = String::new();
        for part in parts {
            // Two may be in one line.
            if !line.contains(part) {
                line = example.says(part).await;
            }
        }
        example.ends_well().await;
    }
}

#[tokio::test]
async fn a_server_of_axum_is_sick_and_well_again_and_leaves_in_order_when_told_to_end() {
    let server = Server::start().await.unwrap();
    let mut example = Example::start("axum_server", "ZK_CONNECT", &server.connect_string());
    let address = example.says("http://").await;
    let (_, rest) = address.split_once("http://").unwrap();
    let (address, _) = rest.split_once('/').unwrap();
    example.says("with weight 3").await;
    for (path, said) in [("/sick", "with weight 0"), ("/well", "with weight 3")] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("POST {path} HTTP/1.1\r\nhost: example\r\ncontent-length: 0\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        example.says(said).await;
    }
    example.gets("-TERM").await;
    example.says("0 connections were cut off").await;
    example.ends_well().await;
}

#[tokio::test]
async fn the_quickstart_on_zookeeper_lists_itself_and_ends_by_both_signals() {
    let server = Server::start().await.unwrap();
    for signal in ["-INT", "-TERM"] {
        let mut example = Example::start("on_zookeeper", "ZK_CONNECT", &server.connect_string());
        example.says(r#"example: ["127.0.0.1:2500"]"#).await;
        example.gets(signal).await;
        example.ends_well().await;
    }
}

#[tokio::test]
async fn one_who_is_known_registers_by_tls_and_a_stranger_reads_alone() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let (store, trusted) = (folder.path().join("server.pem"), folder.path().join("ca.pem"));
    std::fs::write(&store, own.pem() + &key.serialize_pem()).unwrap();
    std::fs::write(&trusted, ca).unwrap();
    let start = async |address: SocketAddr| {
        let server = Server::builder()
            .config("serverCnxnFactory", "org.apache.zookeeper.server.NettyServerCnxnFactory")
            .config("secureClientPort", address.port().to_string())
            .config("secureClientPortAddress", address.ip().to_string())
            .config("ssl.keyStore.location", store.to_str().unwrap())
            .config("ssl.keyStore.type", "PEM")
            .config("ssl.trustStore.location", trusted.to_str().unwrap())
            .config("ssl.trustStore.type", "PEM")
            .config("ssl.clientAuth", "none");
        server.start().await
    };
    let (_server, address) = loop {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        match start(address).await {
            Ok(server) => break (server, address),
            // Somebody else was faster at a port that was free a moment ago.
            Err(error) => assert!(error.to_string().contains("BindException"), "{error}"),
        }
    };

    let more = [("ZK_CA", trusted.to_str().unwrap()), ("ZK_PASSWORD", "hunter2")];
    let mut example = Example::start_with("secured", "ZK_CONNECT", &address.to_string(), &more);
    example.says("registered by TLS at /secured/mail/instances/127.0.0.1:2501").await;
    example.says("a stranger sees 1").await;
    example.says("a stranger may not register: ").await;
    example.ends_well().await;
}

#[tokio::test]
async fn balancing_over_http_needs_a_gateway_alone() {
    let server = Server::start().await.unwrap();
    let keeper = Keeper::start(ZooKeeper::builder(&server.connect_string()).build().unwrap());
    let registry = Registry::new(keeper.sessions(), Native::default());
    let mail = ServiceName::parse("mail").unwrap();
    let fleet = Fleet::start(registry, None, [mail], fleet::Options::default());
    let router = api::router(App::new(fleet), Guard::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });

    let mut example = Example::start("balance_over_http", "GATEWAYS", &address);
    example.says("127.0.0.1:2501 got 10").await;
    example.says("127.0.0.1:2502 got 2").await;
    example.says("the list is Live").await;
    example.ends_well().await;
    serving.abort();
    keeper.close().await;
}
