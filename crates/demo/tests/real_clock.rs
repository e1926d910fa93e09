//! The wall clock is only shown to people: when it jumps, nothing happens. On a real server.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use self::common::{Running, TIME, Truth, Zk, demo};

const HOUR: i64 = 3600;

/// A clock that jumps when it is told to.
struct WallClock {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl WallClock {
    async fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("jump.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clock/jump.c");
        let mut cc = tokio::process::Command::new("cc");
        let built =
            cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status().await;
        assert!(built.unwrap().success());
        let clock = Self { folder, library };
        clock.jump(0);
        clock
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("jump")
    }

    /// The clock is wrong by this many seconds from now on.
    fn jump(&self, seconds: i64) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, seconds.to_string()).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn agent(&self, zk: &Zk, role: &str, name: &str) -> Running {
        let who = ["agent", role, "--service", "time", "--name", name].map(str::to_owned);
        let mut command = demo(who.into_iter().chain(zk.flags()));
        command.env("LD_PRELOAD", &self.library).env("WALL_CLOCK_JUMP", self.file());
        Running::start(command)
    }
}

async fn registered_at(truth: &Truth, name: &str) -> (i64, i64) {
    truth.session.sync("/").await.unwrap();
    let node = truth.session.get(&format!("{TIME}/{name}")).await.unwrap().unwrap();
    (node.stat.czxid, i64::try_from(proto::decode(&node.data).unwrap().registered_at).unwrap())
}

#[tokio::test]
async fn jumps_of_the_wall_clock_by_hours_change_nothing() {
    // A machine that gives nobody any time for two thirds of it is not what this is about.
    let zk = Zk::with(Duration::from_secs(8)).await;
    let truth = zk.truth().await;
    let clock = WallClock::build().await;
    let mut watcher = clock.agent(&zk, "watch", "me");
    watcher.view(&[], "live").await;
    let mut instance = clock.agent(&zk, "register", "a");
    instance.ev("registered").await;
    watcher.view(&["a"], "live").await;
    let mut leader = clock.agent(&zk, "lead", "a");
    leader.ev("leader-acquired").await;
    let before = registered_at(&truth, "a").await;
    let (instance_said, watcher_said) = (instance.said.len(), watcher.said.len());
    let leader_said = leader.said.len();

    for hours in [1, -1, 24 * 365, 0] {
        clock.jump(hours * HOUR);
        // Longer than a session lasts that is not kept.
        sleep(zk.session + zk.session / 4).await;
        assert_eq!(registered_at(&truth, "a").await, before, "after a jump to {hours} h");
    }
    // The next thing that happens is what we do: nothing was said in between.
    clock.jump(HOUR);
    instance.tell(b"{\"cmd\":\"update\",\"weight\":3}\n").await;
    watcher.view(&["a"], "live").await;
    assert_eq!(watcher.said.len(), watcher_said + 1, "{:#?}", watcher.said);
    instance.tell(b"{\"cmd\":\"quit\"}\n").await;
    instance.ev("deregistered").await;
    assert_eq!(instance.said.len(), instance_said + 1, "{:#?}", instance.said);
    leader.tell(b"{\"cmd\":\"resign\"}\n").await;
    // The first that it said since: not that its lease ended in one of the jumps.
    assert_eq!(leader.ev("leader-lost").await["reason"], "resigned");
    assert_eq!(leader.said.len(), leader_said + 1, "{:#?}", leader.said);

    // And the clock did jump: who registers now says so.
    let mut later = clock.agent(&zk, "register", "b");
    later.ev("registered").await;
    let (_, at) = registered_at(&truth, "b").await;
    assert!(at - before.1 >= HOUR * 1000, "{at} after {}", before.1);
}
