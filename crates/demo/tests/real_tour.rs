//! The tour goes as promised, and leaves nothing behind; on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, test_kill_process};
use tokio::time::{sleep, timeout};

use self::common::{PATIENCE, Running, Zk, demo, only_tour, program, run, stderr, stdout};

#[tokio::test]
async fn the_tour_goes_as_promised_on_a_zookeeper_that_is_there() {
    let _alone = only_tour().await;
    let zk = Zk::start().await;
    let tour = demo(["tour", "--session-ms", "8000", "--zk", &zk.server.connect_string()]);
    let output = run(tour).await;
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert!(text.trim_end().ends_with("all was as promised"), "{text}");
}

#[tokio::test]
async fn a_tour_goes_on_when_its_program_is_built_again() {
    let _alone = only_tour().await;
    let zk = Zk::start().await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("demo");
    std::fs::copy(env!("CARGO_BIN_EXE_demo"), &copy).unwrap();
    let mut command = program(&copy);
    command.args(["tour", "--session-ms", "8000", "--zk", &zk.server.connect_string()]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let mut said = Vec::new();
    let told = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(" answered ") && copy.exists() {
                std::fs::remove_file(&copy).unwrap();
            }
            said.push(line);
        }
    };
    timeout(PATIENCE, told).await.unwrap();
    assert!(child.wait().await.unwrap().success(), "{said:?}");
    assert!(!copy.exists() && said.iter().any(|line| line.contains("started it again")), "{said:?}");
}

/// The program of the gateway beside the one of the demo; built where nobody did yet.
async fn gateway() -> std::path::PathBuf {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_demo")).with_file_name("gateway");
    if !program.exists() {
        let target = program.ancestors().nth(2).unwrap();
        let mut cargo = tokio::process::Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "gateway", "--target-dir"]).arg(target);
        assert!(timeout(PATIENCE * 20, cargo.status()).await.unwrap().unwrap().success());
    }
    program
}

#[tokio::test]
async fn a_tour_that_stays_up_ends_with_a_console_and_takes_it_along() {
    let _alone = only_tour().await;
    gateway().await;
    let zk = Zk::start().await;
    // Somebody has the usual port: we, or who made it impossible for us.
    let _taken = std::net::TcpListener::bind("127.0.0.1:8480");
    let mut tour =
        Running::start(demo(["tour", "--keep", "--session-ms", "8000", "--zk", &zk.server.connect_string()]));
    let line = tour.line(|line| line.contains("all of it in a browser: ")).await;
    let (_, address) = line.split_once("http://").unwrap();
    let address = address.trim_end_matches('/').to_owned();
    assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":8480"), "{line}");
    let get = async |path: String| {
        let mut stream = tokio::net::TcpStream::connect(&address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await?;
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let page = timeout(PATIENCE, get("/".to_owned())).await.unwrap().unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<html"), "{page}");
    let truth = zk.truth().await;
    let service = truth.session.children("/headkeeper").await.unwrap().pop().unwrap();
    let shown = async {
        loop {
            let answer = get(format!("/v1/services/{service}")).await.unwrap();
            if answer.matches("\"server_port\"").count() >= 3 {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, shown).await.expect("the three servers are shown");
    tour.signal(Signal::INT);
    let ended = tour.end().await;
    assert!(ended.status.success());
    assert!(get("/".to_owned()).await.is_err(), "nobody is there any more");
}

#[tokio::test]
async fn a_tour_without_a_gateway_beside_it_says_so_and_stays_up() {
    let _alone = only_tour().await;
    let zk = Zk::start().await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("demo");
    std::fs::copy(env!("CARGO_BIN_EXE_demo"), &copy).unwrap();
    let mut command = program(&copy);
    command.args(["tour", "--keep", "--session-ms", "8000", "--zk", &zk.server.connect_string()]);
    let mut tour = Running::start(command);
    let line = tour.line(|line| line.contains("no console: ")).await;
    assert!(line.contains("cargo build -p gateway"), "{line}");
    tour.signal(Signal::INT);
    assert!(tour.end().await.status.success());
}

#[tokio::test]
async fn a_tour_whose_progress_nobody_reads_goes_on() {
    let _alone = only_tour().await;
    let mut child = demo(["tour", "--session-ms", "8000"]).spawn().unwrap();
    drop(child.stderr.take());
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let began = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("started a time server") {
                return true;
            }
        }
        false
    };
    assert!(timeout(PATIENCE, began).await.unwrap(), "it ended: {:?}", child.wait().await);
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(timeout(PATIENCE, child.wait()).await.unwrap().unwrap().code(), Some(130));
}

#[tokio::test]
async fn a_tour_that_is_stopped_or_killed_leaves_no_process_behind() {
    let _alone = only_tour().await;
    for signal in [Signal::INT, Signal::KILL] {
        let zk = Zk::start().await;
        let truth = zk.truth().await;
        let mut tour =
            Running::start(demo(["tour", "--session-ms", "8000", "--zk", &zk.server.connect_string()]));
        tour.line(|line| line.contains("killed ")).await;
        let pid = |line: &String| Pid::from_raw(line.rsplit_once("pid ")?.1.parse().unwrap());
        let servers: Vec<_> = tour.said.iter().filter_map(pid).collect();
        assert_eq!(servers.len(), 3, "{:?}", tour.said);
        tour.signal(signal);
        let ended = tour.end().await;
        assert_eq!(ended.status.code(), (signal == Signal::INT).then_some(130));
        let gone = async {
            while servers.iter().any(|server| test_kill_process(*server).is_ok()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, gone).await.unwrap();
        let service = truth.session.children("/headkeeper").await.unwrap().pop().unwrap();
        let empty = async {
            while !truth
                .session
                .children(&format!("/headkeeper/{service}/instances"))
                .await
                .unwrap()
                .is_empty()
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, empty).await.unwrap();
    }
}
