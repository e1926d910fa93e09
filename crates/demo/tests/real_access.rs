//! Programs that are known to ZooKeeper, and know it: TLS, digest, SASL, and rights on nodes; on real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::fs::{Permissions, set_permissions, write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustix::process::Signal;
use tempfile::TempDir;
use zk_local::Server;

use self::common::{Running, demo, later, only_tour, program, run, stderr, stdout};

#[test]
fn what_the_shell_has_exported_does_not_reach_a_test() {
    let command = demo(["nodes"]);
    for variable in cli::zookeeper::variables() {
        let mut removed = command.as_std().get_envs().filter(|(_, value)| value.is_none());
        assert!(removed.any(|(name, _)| name == variable), "{variable}");
    }
}

/// Files that flags name.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A file that nobody else may read.
    fn put(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// `demo nodes --service time`, which waits so long for what does not come.
async fn nodes(zk: &str, wait: &str, more: &[&str]) -> Output {
    run(demo([&["nodes", "--service", "time", "--wait", wait, "--zk", zk], more].concat())).await
}

async fn is_listed(zk: &str, more: &[&str]) {
    let output = nodes(zk, "60s", more).await;
    assert!(stdout(&output).starts_with("1 instance of time (live)"), "{output:?}");
}

/// What a server says on stdout and stderr has none of these words.
fn says_nothing_of(output: &Output, secrets: &[&str]) {
    let said = stdout(output) + &stderr(output);
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
}

/// A server of ours that is registered, with these flags.
async fn registered(zk: &str, more: &[&str]) -> Running {
    let flags = ["server", "--listen", "127.0.0.1:0", "--zk", zk];
    let mut server = Running::start(demo([&flags, more].concat()));
    server.line(|line| line.starts_with("registered at ")).await;
    server
}

async fn ends_well(server: Running) {
    server.signal(Signal::TERM);
    assert!(server.end().await.status.success());
}

#[tokio::test]
async fn nodes_of_one_who_is_known_by_a_digest_are_for_those_who_have_it() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let files = Files::new();
    let alice = files.put("alice", "alice:hunter2\n");
    let bob = files.put("bob", "bob:hunter3\n");
    let time = registered(&zk, &["--zk-digest-file", &alice, "--zk-acl", "creator"]).await;

    is_listed(&zk, &["--zk-digest-file", &alice]).await;
    for stranger in [&[][..], &["--zk-digest-file", &bob]] {
        let output = nodes(&zk, "15s", stranger).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains("not authorized"), "{output:?}");
        says_nothing_of(&output, &["hunter"]);
    }
    // The environment says it as well, and no log tells it.
    let mut verbose = demo(["nodes", "--service", "time", "--wait", "60s", "--zk", &zk, "-vv"]);
    verbose.env("ZK_DIGEST_FILE", &alice);
    let output = run(verbose).await;
    assert!(stdout(&output).starts_with("1 instance"), "{output:?}");
    says_nothing_of(&output, &["hunter"]);
    ends_well(time).await;

    let flags =
        ["--root", "/shared", "--zk-digest-file", &alice, "--zk-acl", "creator", "--zk-reader", "anyone"];
    let time = registered(&zk, &flags).await;
    is_listed(&zk, &["--root", "/shared"]).await;
    ends_well(time).await;
}

#[tokio::test]
async fn a_service_that_nobody_may_look_into_hides_no_other() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let files = Files::new();
    let alice = files.put("alice", "alice:hunter2\n");
    // First, so that everybody may see which services there are.
    let open = registered(&zk, &["--service", "open"]).await;
    let owned = ["--service", "closed", "--zk-digest-file", &alice, "--zk-acl", "creator"];
    let closed = registered(&zk, &owned).await;

    let output = run(demo(["nodes", "--zk", &zk, "--wait", "60s"])).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stdout(&output).contains("\nopen "), "{output:?}");
    let refusal =
        "closed cannot be listed: rejected by ZooKeeper: not authorized to list /headkeeper/closed/instances";
    assert!(stderr(&output).contains(refusal), "{output:?}");
    assert!(stderr(&output).contains("tip: --zk-digest-file"), "{output:?}");
    let output = run(demo(["nodes", "--zk", &zk, "--wait", "60s", "--zk-digest-file", &alice])).await;
    assert!(output.status.success() && stdout(&output).contains("\nclosed "), "{output:?}");

    let output = run(demo(["master", "--zk", &zk, "--service", "closed", "--wait", "2s"])).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("error: no word on who leads from ZooKeeper at "), "{output:?}");
    ends_well(closed).await;
    ends_well(open).await;
}

#[tokio::test]
async fn servers_that_let_in_only_who_logs_in_by_sasl_let_in_who_has_the_file() {
    let files = Files::new();
    let users = "Server {\n org.apache.zookeeper.server.auth.DigestLoginModule required\n user_alice=\"hunter2\";\n};\n";
    let server = Server::builder()
        .config("authProvider.1", "org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
        .config("sessionRequireClientSASLAuth", "true")
        .property("java.security.auth.login.config", files.put("jaas.conf", users))
        .start()
        .await
        .unwrap();
    let zk = server.connect_string();
    let alice = files.put("alice", "alice:hunter2\n");
    let time = registered(&zk, &["--zk-sasl-file", &alice]).await;
    is_listed(&zk, &["--zk-sasl-file", &alice]).await;
    let wrong = files.put("wrong", "alice:hunter3\n");
    let output = nodes(&zk, "15s", &["--zk-sasl-file", &wrong]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("do not accept our login"), "{output:?}");
    says_nothing_of(&output, &["hunter"]);
    ends_well(time).await;
}

/// An authority, and what it signed: for 127.0.0.1, and for a client.
struct Certificates {
    ca: String,
    server: String,
    client: (String, String),
}

impl Certificates {
    fn new() -> Self {
        let mut params = named("authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let sign = |params: CertificateParams| {
            let key = KeyPair::generate().unwrap();
            (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
        };
        let (certificate, key) = sign(named("server", &["127.0.0.1".to_owned()]));
        Self { ca, server: certificate + &key, client: sign(named("alice", &[])) }
    }
}

fn named(name: &str, addresses: &[String]) -> CertificateParams {
    let mut params = CertificateParams::new(addresses).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A server that speaks TLS there with clients whose certificate it knows.
async fn secure(files: &Files, certificates: &Certificates) -> (Server, SocketAddr) {
    let address = later();
    let server = Server::builder()
        .config("serverCnxnFactory", "org.apache.zookeeper.server.NettyServerCnxnFactory")
        .config("secureClientPort", address.port().to_string())
        .config("secureClientPortAddress", address.ip().to_string())
        .config("ssl.keyStore.location", files.put("server.pem", &certificates.server))
        .config("ssl.keyStore.type", "PEM")
        .config("ssl.trustStore.location", files.put("trusted.pem", &certificates.ca))
        .config("ssl.trustStore.type", "PEM")
        .config("ssl.clientAuth", "need");
    (server.start().await.unwrap(), address)
}

#[tokio::test]
async fn both_sides_are_known_by_their_certificates() {
    let (files, certificates) = (Files::new(), Certificates::new());
    let (_server, address) = secure(&files, &certificates).await;
    let zk = address.to_string();
    let ca = files.put("ca.pem", &certificates.ca);
    let cert = files.put("alice.pem", &certificates.client.0);
    let key = files.put("alice.key", &certificates.client.1);
    let flags = ["--zk-tls-ca", &ca, "--zk-tls-cert", &cert, "--zk-tls-key", &key];
    let time = registered(&zk, &[&flags[..], &["--zk-acl", "creator"]].concat()).await;
    is_listed(&zk, &flags).await;

    let other = files.put("other.pem", &Certificates::new().ca);
    for stranger in [
        &[][..],
        &["--zk-tls-ca", &ca],
        &["--zk-tls-ca", &other, "--zk-tls-cert", &cert, "--zk-tls-key", &key],
    ] {
        let output = run(demo([&["nodes", "--wait", "2s", "--zk", &zk], stranger].concat())).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains("no answer from ZooKeeper at "), "{output:?}");
    }
    ends_well(time).await;
}

#[tokio::test]
async fn rights_for_us_alone_are_refused_where_old_programs_are_and_whoever_looks_may() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let files = Files::new();
    let alice = files.put("alice", "alice:hunter2\n");
    let creator = ["--zk", &zk, "--zk-digest-file", &alice, "--zk-acl", "creator"];
    let (agent, lead) = (["agent", "register", "--name", "a"], ["agent", "lead", "--name", "a"]);
    let makers: [(&[&str], _); 5] = [
        (&["server", "--listen", "127.0.0.1:0"], "flat"),
        (&[&agent[..], &["--port", "1"]].concat(), "flat"),
        (&["server", "--listen", "127.0.0.1:0", "--unique-code", "c"], "master-normal"),
        (&[&lead[..], &["--port", "1"]].concat(), "master-normal"),
        (&["mq-server", "--broker", "mqtt://127.0.0.1:9"], "master-normal"),
    ];
    for (maker, layout) in makers {
        let output = run(demo([maker, &["--service", "time", "--layout", layout], &creator].concat())).await;
        assert_eq!(output.status.code(), Some(2), "{maker:?}: {output:?}");
        let told = format!("--zk-acl creator with --layout {layout}: old programs show no identity");
        assert!(stderr(&output).contains(&told), "{maker:?}: {output:?}");
    }
    // Who is asked at night looks with what is exported.
    let output = run(demo(
        [&["nodes", "--layout", "flat", "--service", "time", "--wait", "60s"][..], &creator].concat(),
    ))
    .await;
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn what_a_tour_tells_to_try_works_in_another_folder() {
    let _alone = only_tour().await;
    let server = Server::start().await.unwrap();
    let files = Files::new();
    files.put("a login", "alice:hunter2\n");
    let mut tour = demo(["tour", "--keep", "--session-ms", "8000", "--zk", &server.connect_string()]);
    tour.args(["--zk-digest-file", "a login", "--zk-acl", "creator"]).current_dir(files.0.path());
    let mut tour = Running::start(tour);
    let nodes = tour.line(|line| line.contains(" nodes --zk ")).await;
    let exports: Vec<_> = tour.said.iter().filter_map(|line| Some(line.split_once("export ")?.1)).collect();
    assert_eq!(exports.len(), 3, "{:?}", tour.said);

    let mut script = exports.iter().map(|export| format!("export {export}\n")).collect::<String>();
    let (_, nodes) = nodes.split_once(" s    ").unwrap();
    script.push_str(nodes.strip_suffix(" --watch").unwrap());
    let mut shell = program("sh");
    shell.args(["-c", &script]).current_dir("/");
    let output = run(shell).await;
    assert!(stdout(&output).contains(" of time-tour-"), "{script}: {output:?}");
    tour.signal(Signal::INT);
    assert!(tour.end().await.status.success());
}
