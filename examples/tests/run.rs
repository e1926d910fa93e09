//! Every example that needs nothing from outside is run, and says what it promises. What it does on a real ZooKeeper is in `real_run.rs`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use self::common::{LIMIT, program};

/// Runs an example, whose output has to have these parts. Gives that.
async fn says(name: &str, parts: &[&str]) -> String {
    let mut command = Command::new(program(name));
    command.env_remove("ZK_CONNECT").stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(LIMIT, command.output())
        .await
        .expect("it ends")
        .expect("it starts; `cargo build --examples` builds it");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {out}{err}");
    for part in parts {
        assert!(out.contains(part), "{name} does not say {part:?}: {out}{err}");
    }
    out.into_owned()
}

#[tokio::test]
async fn a_server_that_ends_by_itself_asks_nobody_to_try_it() {
    let said = says("axum_server", &["it falls sick by itself"]).await;
    assert!(!said.contains("curl"), "{said}");
}

macro_rules! examples {
    ($($name:ident says $parts:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                says(stringify!($name), &$parts).await;
            }
        )*

        /// Nobody is forgotten: each file is in the list above, or is run by `real_run.rs`; the README tells what each is for; and each is
        /// short.
        #[test]
        fn every_example_is_run_and_told_of() {
            let mut run = vec!["on_zookeeper", "balance_over_http", "secured", $(stringify!($name)),*];
            let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
            for name in &run {
                assert!(readme.contains(&format!("(examples/{name}.rs)")), "the README has no link to {name}.rs");
            }
            let mut there: Vec<_> = short(".")
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            run.sort();
            there.sort();
            assert_eq!(run, there);
            // What the first guide shows is run by tests of its own.
            assert_eq!(short("first/src").chain(short("first/src/bin")).count(), 3);
        }
    };
}

/// The examples in a folder, each of which is short.
fn short(folder: &str) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let rust =
        files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "rs"));
    rust.inspect(|path| {
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert!(
            lines < 80,
            "{} has {lines} lines, and would be read if it had fewer than 80",
            path.display()
        );
    })
}

examples! {
    quickstart says ["+ 127.0.0.1:8897", "- 127.0.0.1:8898"];
    leader_guard says ["the first write: done", "a late write: not done", "the term grows: true", "accepted: false"];
    leader_work says ["one works from step 0", "one is cut off", "two works from step", "two finished"];
    leader_fenced says ["written: ", "refused: "];
    leader_observe says ["before anybody stands: None", "leads at "];
    balance_fixed says ["10.0.0.2:80 answered, at try ", "belongs to 10.0.0.", "now it belongs to 10.0.0.9:80"];
    balance_service says ["one is drained:", "127.0.0.1:8899 came"];
    balance_own_algorithm says ["usually 10.0.0.2:80", "10.0.0.3:80 does not answer", "everybody who could be picked was tried already"];
    tower_balance says ["200 OK after ", ": noon"];
    tower_discover says ["127.0.0.1:8897: noon", "127.0.0.1:8898: one o'clock"];
    hyper_client says ["Ended { cut: 0 }"];
    tonic_channel says ["is watched", "says Serving", "no instance can be asked"];
    tonic_again says ["not sent: instance 127.0.0.1:", "says Serving"];
    grpc_server says ["before it is ready: 0 in the list", "it says Serving", "RPCs were answered meanwhile, Ended { cut: 0 }"];
    balance_zone says ["near: 10.2.0.1:80", "near: 10.2.0.2:80", "far: 10.1.0.1:80"];
    faults says ["registered, though", "registered again", "picked without ZooKeeper: 127.0.0.1:9001", "live again", "left behind: false"];
    watched says ["example_connected 1\n", "example_registered 1\n", "example_list_stale_seconds 0\n", "example_candidates 1\n"];
    axum_server says ["with weight 3", "with weight 0", "0 connections were cut off"];
}
