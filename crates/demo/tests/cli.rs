//! What the program says to those who call it wrongly, or without a ZooKeeper.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::process::{Command, Output, Stdio};

use cli::zookeeper::by_flags_alone;

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    by_flags_alone(&mut command).args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

#[test]
fn what_the_shell_has_exported_does_not_reach_a_test() {
    let command = demo(&["nodes"]);
    for variable in cli::zookeeper::variables() {
        assert!(command.get_envs().any(|(name, value)| name == variable && value.is_none()), "{variable}");
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// An address where nobody listens, nor will: it is taken for as long as this process runs.
fn nowhere() -> String {
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::mem::forget(taken);
    address
}

#[test]
fn every_help_teaches_by_an_example() {
    for command in [
        &[][..],
        &["server"],
        &["client"],
        &["nodes"],
        &["master"],
        &["ledger"],
        &["node"],
        &["tour"],
        &["legacy"],
        &["mq-server"],
        &["mq-client"],
        &["agent"],
        &["agent", "register"],
        &["agent", "watch"],
        &["agent", "lead"],
        &["bench", "watch"],
        &["bench", "coldwatch"],
        &["completions"],
        &["man"],
    ] {
        let output = demo(&[command, &["--help"]].concat()).output().unwrap();
        let (help, _) = texts(&output);
        assert!(output.status.success(), "{command:?}");
        assert!(help.contains("Example") && help.contains("  demo "), "{command:?}: {help}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_what_is_accepted() {
    let agent = ["agent", "register", "--service", "time", "--name", "a"];
    let lead = ["agent", "lead", "--service", "time", "--name", "a"];
    for (arguments, told) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["server", "--listen", "8897"], "127.0.0.1:8897"),
        (&["server", "--listen", "0.0.0.0:8897"], "--advertise"),
        (&["server", "--advertise", "a b"], "accepted"),
        (&["server", "--service", "a/b"], "accepted"),
        (&["server", "--id", ".."], "accepted"),
        (&["server", "--weight", "-1"], "accepted: a whole number from 0 to 4294967295"),
        (&["server", "--weight", "many"], "accepted: a whole number from 0 to 4294967295"),
        (&["server", "--meta", "x"], "version=1.2"),
        (&["server", "--code", ""], "accepted"),
        (&["server", "--layout", "flat", "--weight", "2"], "flat layout"),
        (&["server", "--layout", "flat", "--id", "a"], "flat layout"),
        (&["server", "--layout", "round"], "native, flat, master-normal"),
        (&["server", "--layout", "master-normal", "--zone", "a"], "cannot store metadata"),
        (&["server", "--layout", "master-normal", "--id", "a"], "under the name of its node"),
        (&["server", "--layout", "master-normal", "--no-campaign"], "registered by standing for election"),
        (&["server", "--layout", "master-normal", "--session-ms", "400"], "too short for an election"),
        (&["agent", "register", "--service", "s", "--name", "a", "--layout", "master-normal"], "agent lead"),
        (&["nodes", "--credentials"], "--layout master-normal"),
        (&["client", "--interval", "1"], "250ms"),
        (&["client", "--interval", "-1s"], "accepted: a time from 0s to 24h"),
        (&["client", "--timeout", "25h"], "250ms"),
        (&["client", "--timeout", "0s"], "accepted: a time from 1ms to 24h"),
        (&["client", "--requests", "-1"], "accepted: a whole number from 0 to"),
        (
            &["client", "--algorithm", "fastest"],
            "accepted: round-robin, weight-round-robin, random, weight-random, ip-hash, url-hash, least-connect",
        ),
        (
            &["client", "--algorithm", "url-hash"],
            "url-hash chooses by a path with its query, and there is none: add --key",
        ),
        (
            &["client", "--algorithm", "ip-hash"],
            "ip-hash chooses by the address of a client, and there is none: add --key",
        ),
        (&["client", "--algorithm", "url-hash", "--key", "data"], "accepted: a path"),
        (&["client", "--algorithm", "ip-hash", "--key", "/data"], "accepted: an IP address"),
        (&["client", "--algorithm", "random", "--key", "/data"], "--key is for ip-hash and url-hash"),
        (&["client", "--key", "192.0.2.7"], "round-robin does not choose by a key"),
        (&["nodes", "--wait", "0s"], "accepted: a time from 1ms to 24h"),
        (&["nodes", "--watch"], "--service"),
        (&["nodes", "--zk", ""], "connect string"),
        (&["nodes", "--zk", "host:99999"], "1 to 65535"),
        (&["nodes", "--zk", "host:1/a//b"], "host:1/a//b"),
        (&["nodes", "--root", "headkeeper"], "accepted"),
        (&["nodes", "--dir", "/a/../b"], "accepted"),
        (&["nodes", "--hide-ownerless"], "--hide-ownerless is accepted with --layout flat alone"),
        (&["nodes", "--dir", "/old"], "--dir is the directory of the flat layout: add --layout flat"),
        (&["client", "--dir", "/old", "--layout", "master-normal"], "add --layout flat"),
        (&["nodes", "--layout", "flat", "--root", "/old"], "--dir names"),
        (&["server", "--hide-ownerless"], "--layout flat"),
        (&["client", "--hide-ownerless", "--layout", "master-normal"], "--layout flat"),
        (&["master", "--service", "time", "--hide-ownerless"], "--layout flat"),
        (&["agent", "watch", "--service", "time", "--name", "a", "--hide-ownerless"], "--layout flat"),
        (&["nodes", "--zk-tls-ca", "/nowhere"], "--zk-tls-ca /nowhere: it cannot be read: No such file"),
        (&["server", "--zk-digest-file", "/nowhere"], "--zk-digest-file /nowhere: it cannot be read"),
        (
            &["agent", "watch", "--service", "time", "--name", "a", "--zk-acl", "creator"],
            "add --zk-digest-file",
        ),
        (
            &["tour", "--zk", "127.0.0.1:9", "--zk-sasl-file", "/nowhere"],
            "--zk-sasl-file /nowhere: it cannot",
        ),
        (&["completions", "tcsh"], "possible values: bash"),
        (&["man", "nods"], "there is no command \"nods\"; accepted: none, or one of server, client, nodes"),
        (&["nodes", "--session-ms", "99"], "accepted: a whole number from 100 to 600000"),
        (&["nodes", "--session-ms", "10s"], "accepted: a whole number from 100 to 600000"),
        (&["nodes", "--session-ms", "-1"], "accepted: a whole number from 100 to 600000"),
        (&["tour", "--session-ms", "1"], "accepted: a whole number from 1000 to 20000"),
        (&[&agent[..], &["--port", "0"]].concat(), "accepted: a whole number from 1 to 65535"),
        (&[&agent[..], &["--port", "http"]].concat(), "accepted: a whole number from 1 to 65535"),
        (&[&agent[..], &["--addr", "a/b"]].concat(), "accepted"),
        (&[&agent[..], &["--layout", "flat"]].concat(), "flat layout"),
        (&["agent", "register", "--service", "time"], "--name"),
        (&[&lead[..], &["--layout", "flat"]].concat(), "no elections"),
        (
            &[&lead[..], &["--session-ms", "499"]].concat(),
            "--session-ms 499 is too short for an election: 500 to 600000",
        ),
        (&[&lead[..], &["--ledger", "9000"]].concat(), "127.0.0.1:8897"),
        (&[&lead[..], &["--ledger", "a:0"]].concat(), "1-65535"),
        (&[&lead[..], &["--addr", "a/b"]].concat(), "accepted"),
        (&["master"], "--service"),
        (&["master", "--service", "time", "--layout", "flat"], "no elections"),
        (&["master", "--service", "time", "--wait", "0s"], "accepted: a time from 1ms to 24h"),
        (&["client", "--wait", "0s"], "accepted: a time from 1ms to 24h"),
        (&["node", "--myport", "http"], "accepted: a whole number from 0 to 65535"),
        (&["node", "--myip", "localhost"], "accepted: an IP address, as in 127.0.0.1"),
        (&["node", "--myip", "0.0.0.0"], "accepted: an IP address of this machine"),
        (&["node", "--clusterip", "8001"], "accepted: an IPv4 address"),
        (&["node", "--clusterip", "127.0.0.1:0"], "a port of 1-65535"),
        (&["node", "--wait", "0s"], "accepted: a time from 1ms to 24h"),
        (&["ledger", "--listen", "9000"], "127.0.0.1:8897"),
        (&["ledger", "--listen", "localhost:9000"], "accepted: an IP address and a port"),
        (&["bench", "frobnicate"], "possible values: register"),
        (&["bench", "--rounds", "1", "watch", "h:1", "/b", "s", "1", "1"], "invalid value 'watch'"),
        (&["bench", "watch"], "<HOST:PORT[,...]> </BASE> <SERVICE> <INSTANCES> <WATCHERS>"),
        (&["bench", "watch", "h:1", "/b", "s", "1"], "<WATCHERS>"),
        (&["bench", "watch", "h:99999", "/b", "s", "1", "1"], "1 to 65535"),
        (&["bench", "watch", "h:1", "b", "s", "1", "1"], "accepted"),
        (&["bench", "watch", "h:1", "/b", "a/b", "1", "1"], "accepted"),
        (&["bench", "watch", "h:1", "/b", "s", "all", "1"], "accepted: a whole number from 0 to 200000"),
        (&["bench", "watch", "h:1", "/b", "s", "1", "0"], "accepted: a whole number from 1 to 1000"),
        (
            &["bench", "coldwatch", "h:1", "/b", "s", "200001", "1"],
            "accepted: a whole number from 0 to 200000",
        ),
        (&["bench", "coldwatch", "h:1", "/b", "s", "1", "0"], "accepted: a whole number from 1 to 1000"),
    ] {
        let output = demo(arguments).output().unwrap();
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {out}{err}");
        assert!(err.contains(told), "{arguments:?}: {err}");
        assert_eq!(out, "", "{arguments:?}");
    }
}

#[test]
fn the_help_of_the_client_tells_what_each_algorithm_does() {
    let (help, _) = texts(&demo(&["client", "--help"]).output().unwrap());
    for name in loadbalance::Name::ALL {
        let about = help.lines().find_map(|line| line.trim().strip_prefix(&format!("- {name}:")));
        assert!(about.is_some_and(|about| about.len() > 20), "{name}: {help}");
    }
}

#[test]
fn the_environment_names_zookeeper_too_and_is_checked_as_well() {
    let output = demo(&["nodes"]).env("ZK_CONNECT", "host:x").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let at = nowhere();
    let output = demo(&["nodes", "--wait", "300ms"]).env("ZK_CONNECT", &at).output().unwrap();
    assert!(texts(&output).1.contains(&at));
}

#[test]
fn a_zookeeper_that_cannot_be_reached_is_said_and_is_a_failure() {
    let at = nowhere();
    for command in [
        &["nodes"][..],
        &["nodes", "--service", "time"],
        &["nodes", "--service", "time", "--watch"],
        &["master", "--service", "time"],
        &["master", "--service", "time", "--watch"],
        &["client"],
    ] {
        let output = demo(&[command, &["--zk", &at, "--wait", "300ms"]].concat()).output().unwrap();
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains(&format!("no answer from ZooKeeper at {at} within 300ms")), "{err}");
        assert!(err.contains("tip: is it running there? --zk or ZK_CONNECT name another one"), "{err}");
        assert_eq!(out, "");
    }
}

#[test]
fn who_is_stopped_before_the_first_answer_was_not_done() {
    let at = nowhere();
    for command in [
        &["nodes"][..],
        &["nodes", "--service", "time"],
        &["nodes", "--service", "time", "--watch"],
        &["master", "--service", "time"],
        &["master", "--service", "time", "--watch"],
    ] {
        let arguments = [command, &["--zk", &at, "--wait", "1h", "-v"]].concat();
        let mut child = demo(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Its handlers are there when it says why it waits.
        let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut errors, &mut String::new()).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(130), &b""[..]), "{command:?}");
    }
}

#[test]
fn a_server_that_was_never_registered_says_nothing_of_an_end_of_that() {
    let flags = ["server", "--listen", "127.0.0.1:0", "--zk", &nowhere()];
    let mut child = demo(&flags).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.next().unwrap().unwrap().starts_with("listening on 127.0.0.1:"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success());
    assert_eq!(rest, ["stopped"]);
}

#[test]
fn nobody_who_reads_is_no_reason_to_panic() {
    let at = nowhere();
    for arguments in [
        &["agent", "watch", "--service", "time", "--name", "w", "--zk", &at][..],
        &["agent", "register", "--service", "time", "--name", "a", "--zk", &at],
        &["agent", "lead", "--service", "time", "--name", "a", "--zk", &at, "--ledger", &at],
        &["server", "--listen", "127.0.0.1:0", "--zk", &at],
        &["client", "--zk", &at],
        &["node", "--myport", "0", "--clusterip", &at, "--wait", "1ms", "--make-master-on-error"],
    ] {
        let mut child = demo(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        // It is to be asked to stop after its handlers are there: it says something on stderr then, or takes a command.
        let mut stdin = child.stdin.take().unwrap();
        if arguments[0] == "agent" {
            std::io::Write::write_all(&mut stdin, b"nonsense\n{\"cmd\":\"quit\"}\n").unwrap();
        } else {
            let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
            let mut line = String::new();
            std::io::BufRead::read_line(&mut errors, &mut line).unwrap();
            assert!(!line.contains("panicked"), "{line}");
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            std::io::Read::read_to_string(&mut errors, &mut line).unwrap();
            assert!(!line.contains("panicked"), "{line}");
        }
        let output = child.wait_with_output().unwrap();
        let (_, err) = texts(&output);
        assert!(!err.contains("panicked"), "{arguments:?}: {err}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {err}");
    }
}
