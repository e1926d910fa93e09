//! Programs that play the old ones, with a ZooKeeper client that is not ours. `scripts/setup.sh kazoo` installs what they need.

use tokio::process::Command;

use super::{Running, Zk, json, run, stderr, stdout};

/// That of Debian, which sees Debian's packages; the first one on the path may be another.
const PYTHON: &str = "/usr/bin/python3";

/// One of the programs in `tests/foreign`, not started yet.
pub(crate) fn foreign(zk: &Zk, program: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(PYTHON);
    // -B: nothing is written beside the programs.
    command.arg("-B").arg(format!("{}/tests/foreign/{program}.py", env!("CARGO_MANIFEST_DIR")));
    command.args(flags).args(["--zk", &zk.server.connect_string()]).kill_on_drop(true);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

/// Starts one, and waits until it has said its first line.
pub(crate) async fn started(zk: &Zk, program: &str, flags: &[&str]) -> (Running, serde_json::Value) {
    let mut running = Running::start(foreign(zk, program, flags));
    let first = running.event(|_| true).await;
    (running, first)
}

/// Runs one to its end, and gives what it printed.
pub(crate) async fn printed(zk: &Zk, program: &str, flags: &[&str]) -> Vec<serde_json::Value> {
    let output = run(foreign(zk, program, flags)).await;
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(json).collect()
}
