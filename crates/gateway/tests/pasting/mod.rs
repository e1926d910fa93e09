//! A shell into which somebody pastes one command after the other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cli::zookeeper::by_flags_alone;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::program::soon;

/// What a command is told to have ended with, on a line of its own.
const ENDED: &str = "the command has ended with ";

/// Nobody's own settings of curl count, and an answer that says no is a failure. What is compiled is not compiled again. Jobs end with the shell.
const BEFORE: &str = r#"
trap 'kill $(jobs -p) 2>/dev/null' EXIT
curl() { command curl -q --fail --silent --show-error --noproxy '*' --max-time 20 "$@"; }
gateway() { exec "$GATEWAY" "$@"; }
cargo() { while [ "$1" != -- ]; do shift; done; shift; exec "$GATEWAY" "$@"; }
"#;

pub(crate) struct Shell {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it and its jobs said on stdout, but for what commands answered.
    said: Vec<String>,
    told: watch::Receiver<String>,
}

impl Shell {
    /// One in this folder, with this ZooKeeper. It has jobs, as one that somebody types into, and ends when its input does.
    pub(crate) async fn start(zk: &str, folder: &Path) -> Self {
        let mut command = Command::new("bash");
        by_flags_alone(command.as_std_mut()).args(["--noprofile", "--norc", "-m"]).env_remove("RUST_LOG");
        command.env("ZK_CONNECT", zk).env("GATEWAY", env!("CARGO_BIN_EXE_gateway"));
        command.env("PYTHONUNBUFFERED", "1").env("LC_ALL", "C").current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut stderr = child.stderr.take().unwrap();
        let (tell, told) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut piece = [0; 4_096];
            while let Ok(read @ 1..) = stderr.read(&mut piece).await {
                tell.send_modify(|told| told.push_str(&String::from_utf8_lossy(&piece[..read])));
            }
            // What was said stays.
            tell.closed().await;
        });
        stdin.write_all(BEFORE.as_bytes()).await.unwrap();
        Self { child, stdin, lines, said: Vec::new(), told }
    }

    /// Pastes a command and waits for its end. Gives what it ended with, and what was said meanwhile.
    pub(crate) async fn run(&mut self, command: &str) -> (i32, Vec<String>) {
        let pasted = format!("{command}\nprintf '\\n{ENDED}%s\\n' $?\n");
        soon(self.stdin.write_all(pasted.as_bytes())).await.unwrap();
        let mut said = Vec::new();
        loop {
            let line = self.next_line(command).await;
            match line.strip_prefix(ENDED) {
                Some(code) => return (code.parse().unwrap(), said),
                None if line.is_empty() => {}
                None => {
                    self.said.push(line.clone());
                    said.push(line);
                }
            }
        }
    }

    /// Pastes it again until it went well and said this, if anything: what was just registered is known everywhere a moment later.
    pub(crate) async fn run_until(&mut self, command: &str, expected: &[String]) -> Vec<String> {
        let mut last = None;
        for _ in 0..200 {
            let (code, said) = self.run(command).await;
            if code == 0 && (expected.is_empty() || said == expected) {
                return said;
            }
            last = Some((code, said));
            sleep(Duration::from_millis(50)).await;
        }
        panic!("{command}: {expected:?} was expected, it was {last:?}: {}", *self.told.borrow());
    }

    /// What a job says behind this, once it does.
    pub(crate) async fn says(&mut self, begin: &str) -> String {
        let mut looked_at = 0;
        loop {
            while let Some(line) = self.said.get(looked_at) {
                if let Some(rest) = line.strip_prefix(begin) {
                    return rest.to_owned();
                }
                looked_at += 1;
            }
            let line = self.next_line(begin).await;
            self.said.push(line);
        }
    }

    /// Waits until it or a job of it has said this on stderr.
    pub(crate) async fn tells(&self, what: &str) {
        let mut told = self.told.clone();
        let is_told = async { told.wait_for(|told| told.contains(what)).await.map(drop) };
        if tokio::time::timeout(crate::program::PATIENCE, is_told).await.is_err() {
            panic!("waited in vain for {what}: {}", *self.told.borrow());
        }
    }

    /// Ends it, and with it what it started.
    pub(crate) async fn end(mut self) {
        drop(self.stdin);
        soon(async {
            while self.lines.next_line().await.unwrap().is_some() {}
            self.child.wait().await.unwrap();
        })
        .await;
    }

    async fn next_line(&mut self, what: &str) -> String {
        let line = tokio::time::timeout(crate::program::PATIENCE, self.lines.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => line,
            other => panic!("{what}: {other:?}: {}", *self.told.borrow()),
        }
    }
}
