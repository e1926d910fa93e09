//! One real server, through its life.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{client, create, exists, lives, soon, started, until};
use zk_local::{Error, Installation, Role, Server};

#[tokio::test]
async fn a_stopped_server_leaves_no_process_and_its_port_free() {
    let server = started(Server::start()).await;
    let pid = server.pid().unwrap();
    assert!(lives(pid));
    assert_eq!(server.role().await.unwrap(), Role::Standalone);

    soon("the stop", server.stop()).await.unwrap();
    assert!(!lives(pid));
    assert_eq!(server.pid(), None);
    std::net::TcpListener::bind(server.address()).unwrap();
}

#[tokio::test]
async fn the_java_machine_has_the_options_that_were_asked_for_and_no_others() {
    let options = ["-Xmx512m", "-XX:+UseParallelGC"];
    for (builder, wanted) in [
        (Server::builder(), &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"][..]),
        (Server::builder().java_options(options), &options),
    ] {
        let server = started(builder.start()).await;
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", server.pid().unwrap())).unwrap();
        let had: Vec<_> = line.split('\0').filter(|word| word.starts_with("-X")).collect();
        assert_eq!(had, wanted);
    }
}

#[tokio::test]
async fn a_dropped_server_leaves_neither_process_nor_folder() {
    let server = started(Server::start()).await;
    let pid = server.pid().unwrap();
    let folder = server.log().parent().unwrap().to_owned();
    assert!(folder.exists());
    drop(server);
    assert!(!lives(pid));
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_panicking_test_leaves_no_process() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async move {
        let server = Server::start().await.unwrap();
        tell.send(server.pid().unwrap()).unwrap();
        panic!("on purpose: the server is dropped by the unwinding");
    });
    let pid = started(async { Ok(told.await.unwrap()) }).await;
    assert!(soon("the panic", test).await.unwrap_err().is_panic());
    assert!(!lives(pid));
}

/// Names the file in which the process below writes which server it started.
const TELL: &str = "ZK_LOCAL_TEST_TELL_PID";

#[tokio::test]
async fn a_killed_process_leaves_no_server() {
    if let Some(tell) = std::env::var_os(TELL) {
        let server = Server::start().await.unwrap();
        // Renamed into place, so that nobody reads half a number.
        let part = Path::new(&tell).with_extension("part");
        std::fs::write(&part, server.pid().unwrap().to_string()).unwrap();
        std::fs::rename(part, tell).unwrap();
        return std::future::pending().await;
    }
    started(Installation::find()).await;
    let folder = tempfile::tempdir().unwrap();
    let left = || {
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("zk-local-")).count()
    };
    // What the first one leaves goes when the second one starts a server.
    for who in ["first", "second"] {
        let told = folder.path().join(who);
        let mut process = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_process_leaves_no_server"])
            .envs([(TELL, told.as_os_str()), ("TMPDIR", folder.path().as_os_str())])
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("the other process's server", async || told.exists()).await;
        let server = std::fs::read_to_string(&told).unwrap().parse().unwrap();
        assert!(lives(server));
        until(&format!("no folder but that of the {who} one"), async || left() == 1).await;

        process.kill().await.unwrap();
        until("the end of its server", async || !lives(server)).await;
    }
}

#[test]
fn a_server_outlives_the_runtime_and_the_thread_that_started_it() {
    let start = || tokio::runtime::Runtime::new().unwrap().block_on(Server::start()).unwrap();
    let server = std::thread::spawn(start).join().unwrap();
    let later = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(later.block_on(server.role()).unwrap(), Role::Standalone);
    later.block_on(server.restart()).unwrap();
    assert!(lives(server.pid().unwrap()));
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_data_on_its_port() {
    let server = started(Server::start()).await;
    let (port, pid) = (server.port(), server.pid().unwrap());
    create(&client(&server.connect_string()).await, "/kept").await.unwrap();

    soon("the restart", server.restart()).await.unwrap();
    assert!(!lives(pid));
    assert_eq!(server.port(), port);
    assert!(exists(&client(&server.connect_string()).await, "/kept").await);
}

#[tokio::test]
async fn a_paused_server_does_not_answer_until_it_is_resumed() {
    let server = started(Server::start()).await;
    soon("the pause", server.pause()).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(300), server.four_letter("ruok")).await;
    assert!(asked.is_err(), "a paused server answered {asked:?}");

    server.resume().unwrap();
    assert_eq!(soon("an answer", server.four_letter("ruok")).await.unwrap(), "imok");

    // The second time it is stopped anew, and not taken for stopped because it was before.
    soon("the pause", server.pause()).await.unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid().unwrap())).unwrap();
    assert!(stat.contains(") T "), "{stat}");
}

#[tokio::test]
async fn a_paused_server_can_be_stopped_and_killed() {
    let server = started(Server::start()).await;
    soon("the pause", server.pause()).await.unwrap();
    soon("the stop", server.stop()).await.unwrap();
    soon("the start", server.start_again()).await.unwrap();
    soon("the pause", server.pause()).await.unwrap();
    soon("the kill", server.kill()).await.unwrap();
    assert_eq!(server.pid(), None);
}

#[tokio::test]
async fn data_can_be_rolled_back_and_wiped_while_the_server_is_stopped() {
    let server = started(Server::start()).await;
    create(&client(&server.connect_string()).await, "/early").await.unwrap();
    assert!(matches!(server.snapshot_data().await, Err(Error::WrongState(_))));
    assert!(matches!(server.wipe().await, Err(Error::WrongState(_))));

    soon("the stop", server.stop()).await.unwrap();
    let snapshot = server.snapshot_data().await.unwrap();
    soon("the start", server.start_again()).await.unwrap();
    create(&client(&server.connect_string()).await, "/late").await.unwrap();

    soon("the stop", server.stop()).await.unwrap();
    server.restore_data(&snapshot).await.unwrap();
    soon("the start", server.start_again()).await.unwrap();
    let rolled_back = client(&server.connect_string()).await;
    assert!(exists(&rolled_back, "/early").await);
    assert!(!exists(&rolled_back, "/late").await);

    soon("the stop", server.stop()).await.unwrap();
    server.wipe().await.unwrap();
    soon("the start", server.start_again()).await.unwrap();
    assert!(!exists(&client(&server.connect_string()).await, "/early").await);
}

#[tokio::test]
async fn settings_reach_the_server() {
    let builder = Server::builder()
        .tick(Duration::from_millis(150))
        .min_session(Duration::from_millis(200))
        .max_session(Duration::from_secs(7))
        .config("maxClientCnxns", "9")
        .property("zookeeper.globalOutstandingLimit", "17");
    let server = started(builder.start()).await;
    let conf = server.four_letter("conf").await.unwrap();
    for line in ["tickTime=150", "minSessionTimeout=200", "maxSessionTimeout=7000", "maxClientCnxns=9"] {
        assert!(conf.lines().any(|it| it == line), "{line} is not in {conf}");
    }
    let environment = server.four_letter("envi").await.unwrap();
    assert!(environment.contains("java.version="), "{environment}");
    assert_eq!(server.mntr().await.unwrap()["zk_server_state"], "standalone");
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_says_so_and_not_the_strangers_answer() {
    let stranger = started(Server::start()).await;
    let error = soon("an error", Server::builder().port(stranger.port()).start()).await.unwrap_err();
    assert!(error.to_string().contains("Address already in use"), "{error}");
}

#[tokio::test]
async fn a_bad_setting_is_an_error_that_says_what_the_server_said() {
    let error = soon("an error", Server::builder().config("syncLimit", "many").start()).await.unwrap_err();
    assert!(error.to_string().contains("many"), "{error}");
}

#[tokio::test]
async fn a_named_folder_is_used_again_by_the_next_server() {
    let folder = tempfile::tempdir().unwrap();
    let builder = Server::builder().folder(folder.path());
    let first = started(builder.clone().start()).await;
    create(&client(&first.connect_string()).await, "/kept").await.unwrap();
    drop(first);
    let second = started(builder.start()).await;
    assert!(exists(&client(&second.connect_string()).await, "/kept").await);
}

#[tokio::test]
async fn an_unpacked_release_can_be_started() {
    // Debian's jars, laid out as a release has them: with all that is needed in lib, and one library for the log.
    let found = started(Installation::find()).await;
    if !Path::new("/usr/share/java/zookeeper.jar").exists() {
        // What was found is an unpacked release, then.
        started(Server::builder().installation(found).start()).await;
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let lib = home.path().join("lib");
    std::fs::create_dir(&lib).unwrap();
    for jar in std::fs::read_dir("/usr/share/java").unwrap() {
        let jar = jar.unwrap();
        let name = jar.file_name().into_string().unwrap();
        let logs = name.contains("slf4j") && !["slf4j-api.jar", "slf4j-simple.jar"].contains(&&*name);
        if name.ends_with(".jar") && !logs {
            std::os::unix::fs::symlink(jar.path(), lib.join(name)).unwrap();
        }
    }
    let release = Installation::in_home(home.path()).unwrap();
    assert_ne!(release, found);
    started(Server::builder().installation(release).start()).await;
}
