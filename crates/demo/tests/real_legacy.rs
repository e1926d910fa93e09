//! The old systems are shown beside ours, on a real ZooKeeper and a real Mosquitto, and nothing is left behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use self::common::{Running, demo, run, stderr, stdout};

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
async fn whoever_stops_it_leaves_nothing_behind() {
    let mut legacy = Running::start(demo(["legacy"]));
    let line = legacy.line(|line| line.contains("one of ours is registered at ")).await;
    assert!(line.contains("/go_servers/"), "{line}");
    let zookeeper = legacy.said[0].rsplit(' ').next().unwrap().to_owned();
    legacy.signal(rustix::process::Signal::INT);
    let ended = legacy.end().await;
    assert_eq!(ended.status.code(), Some(130));
    assert!(tokio::net::TcpStream::connect(&zookeeper).await.is_err(), "its ZooKeeper is there still");
}
