//! The lines of the guide that ask a gateway, as somebody would paste them into a shell.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod program;
mod services;

use std::path::Path;
use std::process::{Output, Stdio};

use program::{Gateway, soon};
use serde_json::Value;
use services::{Registrar, Service};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use zk_local::Server;

const GUIDE: &str = include_str!("../../../docs/gateway.md");

/// What the guide puts in for the address of a gateway.
const ANY_ADDRESS: &str = "127.0.0.1:8480";

/// What a section tells people to ask, in its order.
fn asked_in(section: &str) -> Vec<&'static str> {
    let (_, section) = GUIDE.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    section
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .filter(|line| line.starts_with("curl "))
        .collect()
}

/// A shell that asks this in an empty folder. Nobody's own settings of curl count, and an answer that says no is a failure.
fn shell(line: &str, address: &str, folder: &Path) -> Command {
    assert!(line.contains(ANY_ADDRESS), "{line}");
    let ask = line.replace(ANY_ADDRESS, address);
    let ask =
        ask.replacen("curl ", "exec curl -q --fail --silent --show-error --noproxy '*' --max-time 100 ", 1);
    let mut command = Command::new("sh");
    command.args(["-c", &ask]).current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for the first event of a stream.
async fn first_event(mut shell: Command) -> String {
    let mut child = shell.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let event = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(data) = line.strip_prefix("data: ") {
                return data.to_owned();
            }
        }
        panic!("it ended without an event");
    };
    let event = soon(event).await;
    child.kill().await.unwrap();
    event
}

/// What an answer says, where it is JSON.
fn told(line: &str, Output { status, stdout, stderr }: &Output) -> Option<Value> {
    let stderr = String::from_utf8_lossy(stderr);
    assert!(status.success(), "{line}: {status}: {stderr}");
    serde_json::from_slice(stdout).ok()
}

#[tokio::test]
async fn what_the_guide_says_to_ask_is_answered() {
    let server = Server::start().await.unwrap();
    let registrar = Registrar::at(&server.connect_string());
    let here = registrar.announce("time", "a", &Service::start("a").await);
    soon(here.registered()).await.unwrap();
    let gateway = Gateway::start(&server.connect_string(), &[]).await;
    gateway.becomes("/v1/services/time", |status, list| status == 200 && list["source"] == "live").await;
    gateway.becomes("/v1/services/time/master", |status, _| status == 200).await;

    let folder = tempfile::tempdir().unwrap();
    let (discover, register) = (asked_in("Discover"), asked_in("Register"));
    assert!(discover.len() >= 7 && register.len() >= 6, "{discover:?} {register:?}");
    for line in discover.into_iter().chain(register) {
        let shell = || shell(line, &gateway.address, folder.path());
        if line.contains("curl -N ") {
            let event: Value = serde_json::from_str(&first_event(shell()).await).unwrap();
            assert_eq!(event["instances"][0]["id"], "a", "{line}: {event}");
            continue;
        }
        let answer = told(line, &soon(shell().output()).await.unwrap());
        assert!(answer.is_some() || line.contains(" -X "), "{line}: its answer is no JSON");
        if line.contains("# its weight is 0 now") {
            // A moment later where ZooKeeper takes its time.
            let is_drained = |answer: &Option<Value>| answer.as_ref().unwrap()["instances"][0]["weight"] == 0;
            let mut answer = answer;
            soon(async {
                while !is_drained(&answer) {
                    answer = told(line, &shell().output().await.unwrap());
                }
            })
            .await;
        }
    }
    let left: Vec<_> = folder.path().read_dir().unwrap().collect();
    assert!(left.is_empty(), "a shell took a part of a line for a file: {left:?}");
    registrar.keeper.close().await;
}
