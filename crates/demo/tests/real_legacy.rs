//! The old systems are shown beside ours, on a real ZooKeeper and a real Mosquitto, and nothing is left behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::time::Duration;

use rustix::process::{Pid, Signal, test_kill_process};
use tokio::time::{sleep, timeout};

use self::common::{PATIENCE, Running, demo, run, stderr, stdout};

#[tokio::test]
async fn all_four_are_shown_and_hold() {
    let output = run(demo(["legacy"])).await;
    let text = stdout(&output);
    assert!(output.status.success(), "{text}\n{}", stderr(&output));
    let table: Vec<_> = text.lines().skip_while(|line| !line.starts_with("SYSTEM ")).skip(1).collect();
    let systems = ["time servers ", "master/normal ", "cluster join ", "message broker "];
    assert_eq!(table.len(), systems.len(), "{text}");
    for (row, system) in table.iter().zip(systems) {
        assert!(row.starts_with(system), "{text}");
    }
}

#[tokio::test]
async fn however_it_ends_nothing_is_left_behind() {
    for signal in [Signal::INT, Signal::KILL] {
        let mut legacy = Running::start(demo(["legacy"]));
        // ZooKeeper, Mosquitto and three servers are there then, and nodes were before.
        legacy.line(|line| line.contains("3 instances are registered without an address")).await;
        let children = descendants(legacy.pid());
        assert!(children.len() >= 5, "{children:?}");
        legacy.signal(signal);
        let ended = legacy.end().await;
        assert_eq!(ended.status.code(), if signal == Signal::INT { Some(130) } else { None });
        let gone = async {
            while children.iter().any(|child| test_kill_process(*child).is_ok()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, gone).await.unwrap_or_else(|_| panic!("{children:?} are not all gone"));
    }
}

/// The processes that this one has started, as the kernel lists them.
fn descendants(of: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{}/task", of.as_raw_nonzero())).unwrap() {
        let list = std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()));
    }
    found
}
