//! The program on a ZooKeeper that has to know who changes what.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod program;

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;

use program::{Gateway, command, soon};
use rustix::process::Signal;
use zk_local::Server;
use zk_session::{Connect, Error, ZooKeeper};

const NODE: &str = "/headkeeper/time/instances/h:1";

#[test]
fn what_the_shell_has_exported_does_not_reach_a_test() {
    let command = command(&[]);
    for variable in cli::zookeeper::variables() {
        let mut removed = command.as_std().get_envs().filter(|(_, value)| value.is_none());
        assert!(removed.any(|(name, _)| name == variable), "{variable}");
    }
}

#[tokio::test]
async fn what_it_registers_by_a_digest_is_for_those_who_have_it() {
    let server = Server::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("login");
    write(&file, "alice:hunter2\n").unwrap();
    set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let flags =
        ["--service", "time", "--zk-digest-file", file.to_str().unwrap(), "--zk-acl", "creator", "-vv"];
    let gateway = Gateway::start(&server.connect_string(), &flags).await;
    let data = "{\"server_ip\":\"h\",\"server_port\":1,\"ttl\":600}";
    gateway.registers("/v1/services/time/instances/h:1", data).await;
    gateway
        .becomes("/v1/services/time", |_, list| list["instances"].as_array().is_some_and(|it| it.len() == 1))
        .await;

    let connect = server.connect_string();
    let read = async |builder: zk_session::Builder| {
        let zookeeper = builder.build().unwrap();
        let session = soon(zookeeper.connect()).await.unwrap();
        session.get(NODE).await
    };
    let stranger = read(ZooKeeper::builder(&connect)).await;
    assert!(matches!(stranger, Err(Error::Rejected { .. })), "{stranger:?}");
    assert!(read(ZooKeeper::builder(&connect).digest("alice", "hunter2")).await.unwrap().is_some());
    assert!(!gateway.told().contains("hunter"), "{}", gateway.told());
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
}

#[tokio::test]
async fn what_is_wrong_with_a_file_or_a_port_is_said_with_what_helps() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for (flags, code, told) in [
        (&["--zk-tls-ca", "/nowhere"][..], 2, "--zk-tls-ca /nowhere: it cannot be read: No such file"),
        (&["--zk-tls-cert", "/nowhere"], 2, "--zk-tls-ca <FILE>"),
        (&["--zk-digest-file", "/nowhere"], 2, "--zk-digest-file /nowhere: it cannot be read"),
        (
            &["--zk-acl", "creator"],
            2,
            "--zk-acl creator: ZooKeeper does not know who we are; add --zk-digest-file",
        ),
        (
            &["--layout", "flat", "--zk-acl", "creator"],
            2,
            "--zk-acl creator with --layout flat: old programs show no identity to ZooKeeper",
        ),
        // There it registers nothing, and nobody can be shut out.
        (
            &["--layout", "master-normal", "--zk-acl", "creator"],
            2,
            "--zk-acl creator: ZooKeeper does not know who we are",
        ),
        (
            &["--listen", &taken],
            1,
            "tip: another program listens there already; end that one, or name another port by --listen",
        ),
    ] {
        let mut command = command(flags);
        let output = soon(command.stderr(std::process::Stdio::piped()).output()).await.unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {errors}");
        assert!(errors.contains(told), "{flags:?}: {errors}");
    }
}

#[tokio::test]
async fn it_prints_completions_and_its_manual_and_serves_nobody() {
    for (arguments, told) in [
        (&["completions", "bash"][..], "_gateway()"),
        (&["completions", "fish"], "-l zk-digest-file"),
        (&["man"], ".SH EXAMPLES"),
        (&["man", "completions"], ".TH gateway-completions 1"),
    ] {
        let output = soon(command(arguments).output()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8(output.stdout).unwrap().contains(told), "{arguments:?}: {told}");
    }
}
