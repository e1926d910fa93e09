//! `demo bench` measures on a real server, and says what in the shape that it promises; no time is judged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use zk_local::Server;
use zk_session::{Connect, Kind, Session, ZooKeeper};

use self::common::{PATIENCE, Running, demo, run, stderr, stdout};

#[tokio::test]
async fn a_scenario_is_measured_at_a_size_and_told_as_json() {
    let output = run(demo(["bench", "register", "--instances", "100", "--rounds", "1", "--json"])).await;
    assert!(output.status.success(), "{}", stderr(&output));
    // Where stderr is no terminal, it has a line for each scenario.
    assert_eq!(stderr(&output), "register: at 100 instances, 1 round each\n");
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(told["machine"].as_str().unwrap().contains("cores"));
    // Tests are run where they were built: in a checkout it has a commit, elsewhere none.
    let commit = measured::commit(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(told["commit"].as_str(), commit.as_deref());
    let [scenario] = &told["scenarios"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&scenario["name"], &scenario["rounds"]), (&"register".into(), &1.into()));
    let [size] = &scenario["sizes"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&scenario["sizes_of"], &size["size"]), (&"instances".into(), &100.into()));
    let figures = size["figures"].as_array().unwrap();
    assert_eq!(figures.len(), 8, "{told}");
    for figure in figures {
        let rounds = figure["rounds"].as_array().unwrap();
        assert!(matches!(&rounds[..], [value] if value.as_f64().unwrap() > 0.0), "{figure}");
        let beside = &figure["beside"];
        assert!(beside.is_null() || figures.iter().any(|other| other["what"] == *beside), "{figure}");
    }
    for ratio in size["ratios"].as_array().unwrap() {
        assert!(ratio["met"].is_boolean() && ratio["median"].is_number(), "{ratio}");
    }
}

#[tokio::test]
async fn a_page_with_plots_is_written_and_nothing_stays_on_a_server_of_others() {
    let server = Server::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("not there yet");
    let zk = server.connect_string();
    let flags = ["--zk", &zk, "--instances", "20,100", "--rounds", "1", "--out", out.to_str().unwrap()];
    let output = run(demo(["bench", "cold-start"].into_iter().chain(flags))).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let (text, page) = (stdout(&output), fs::read_to_string(out.join("zookeeper.md")).unwrap());
    assert!(text.starts_with("cold-start: "), "{text}");
    for told in [&text, &page] {
        assert!(told.contains("20 instances") && told.contains("100 instances"), "{told}");
        assert!(told.contains("figures with a limit"), "{told}");
    }
    assert!(page.contains("](zookeeper-cold-start-time.svg)"), "{page}");
    assert!(
        page.contains(
            "**Not all of it: this is what `demo bench cold-start --instances 20,100 --rounds 1 --zk "
        ),
        "{page}"
    );
    let plot = fs::read_to_string(out.join("zookeeper-cold-start-time.svg")).unwrap();
    assert!(plot.starts_with("<svg ") && plot.contains("<polyline"), "{plot}");

    let zookeeper = ZooKeeper::builder(&zk).build().unwrap();
    let session = zookeeper.connect().await.unwrap();
    assert!(session.exists("/headkeeper-bench").await.unwrap().is_none());
}

#[tokio::test]
async fn on_servers_of_others_what_needs_its_own_is_left_out_aloud_and_a_stop_leaves_nothing() {
    // The first of all has sessions of its own, and the other processes that announce.
    for (which, left_out) in [(&[][..], true), (&["large"], false)] {
        let server = Server::start().await.unwrap();
        let zk = server.connect_string();
        let flags = ["--zk", &zk, "--instances", "2000", "--rounds", "1000"];
        let (running, mut said) =
            Running::start_heard(demo(["bench"].iter().chain(which).copied().chain(flags)));
        let mut line = async || timeout(PATIENCE, said.next_line()).await.unwrap().unwrap().unwrap();
        if left_out {
            let line = line().await;
            assert!(line.starts_with("left out with --zk"), "{line}");
            for name in ["expiry", "restart", "outage"] {
                assert!(line.contains(&format!("{name} (it ")), "{line}");
            }
        }
        line().await;

        let zookeeper = ZooKeeper::builder(&zk).build().unwrap();
        let session = zookeeper.connect().await.unwrap();
        until_any_instance(&*session).await;
        running.signal(Signal::INT);
        let ended = running.end().await;
        assert_eq!(ended.status.code(), Some(130), "{which:?}");
        assert_eq!(said.next_line().await.unwrap(), None);
        session.sync("/").await.unwrap();
        assert!(session.exists("/headkeeper-bench").await.unwrap().is_none(), "{which:?}");
    }
}

/// Waits until a bench has made nodes of instances.
async fn until_any_instance(session: &dyn Session) {
    let begun = async {
        while !any_instance(session).await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, begun).await.unwrap();
}

/// Whether a bench has made nodes of instances.
async fn any_instance(session: &dyn Session) -> bool {
    let Ok(services) = session.children("/headkeeper-bench").await else { return false };
    for service in services {
        let instances = session.children(&format!("/headkeeper-bench/{service}/instances")).await;
        if instances.is_ok_and(|instances| !instances.is_empty()) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn the_other_scenarios_are_measured_told_and_written_though_one_fails() {
    for json in [false, true] {
        let server = Server::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let zk = server.connect_string();
        let flags =
            ["--zk", &zk, "--instances", "20", "--rounds", "20", "--out", folder.path().to_str().unwrap()];
        let more = json.then_some("--json");
        let (running, mut said) = Running::start_heard(demo(
            ["bench", "cold-start", "register"].into_iter().chain(flags).chain(more),
        ));
        let mut line = async || timeout(PATIENCE, said.next_line()).await.unwrap().unwrap().unwrap();
        assert_eq!(line().await, "cold-start: at 20 instances, 20 rounds each");
        let zookeeper = ZooKeeper::builder(&zk).build().unwrap();
        let session = zookeeper.connect().await.unwrap();
        until_any_instance(&*session).await;
        // One more than it reckons with: then it cannot go on.
        let stray = "/headkeeper-bench/cold-start/instances/stray";
        session.create(stray, b"", Kind::Persistent).await.unwrap();

        let page = folder.path().join("zookeeper.md");
        let error = line().await;
        assert!(error.starts_with("error: cannot measure cold-start: "), "{error}");
        assert_eq!(line().await, "register: at 20 instances, 20 rounds each");
        assert_eq!(line().await, format!("written: {}", page.display()));
        let ended = running.end().await;
        assert_eq!(ended.status.code(), Some(1));
        let page = fs::read_to_string(page).unwrap();
        assert!(page.contains("`demo bench register` repeats it"), "{page}");
        assert!(!page.contains("`demo bench cold-start`"), "{page}");
        assert!(
            page.contains("**Not all of it: what is not here")
                && page.contains("(`cannot measure cold-start: "),
            "{page}"
        );
        assert!(page.contains(
            "**Not all of it: this is what `demo bench cold-start register --instances 20 --rounds 20 --zk "
        ));
        match json {
            true => {
                let told: Value = serde_json::from_str(&ended.lines.join("\n")).unwrap();
                let [scenario] = &told["scenarios"].as_array().unwrap()[..] else { panic!("{told}") };
                assert_eq!(scenario["name"], "register");
                assert!(
                    told["failed"][0].as_str().unwrap().starts_with("cannot measure cold-start: "),
                    "{told}"
                );
            }
            false => {
                let verdict =
                    |line: &String| line.starts_with("Of ") && line.contains("figures with a limit");
                assert!(ended.lines.iter().any(verdict), "{:?}", ended.lines);
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_understood_is_refused_before_a_server_is_started() {
    for (flags, said) in [
        (&["registering"][..], "[possible values: register,"),
        (&["register", "--instances", "0"], "accepted: a whole number from 1 to 200000"),
        (&["register", "--instances", "100,,5"], "accepted: a whole number from 1 to 200000"),
        (&["services", "--instances", "250"], "accepted are 100 to 200000 in steps of 100 instances"),
        (&["burst", "--instances", "1000,5"], "5: accepted are 100 to 200000 in steps of 10 changes"),
        (&["hand-over", "--instances", "1"], "accepted are 2 to 1000 candidates"),
        (&["register", "--rounds", "none"], "accepted: a whole number from 1 to 1000"),
        (&["--zk", "nowhere:port"], "nowhere:port"),
        (&["register", "expiry", "--zk", "127.0.0.1:1"], "expiry needs a server of its own"),
        (&["outage", "--zk", "127.0.0.1:1"], "measure it without --zk"),
    ] {
        let output = run(demo(["bench"].iter().chain(flags).copied())).await;
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{flags:?}: {}", stderr(&output));
    }
}
