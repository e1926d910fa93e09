//! Where examples are, and how long they may take.

use std::path::PathBuf;
use std::time::Duration;

/// Nothing is waited for longer than this; the machine may be busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// `cargo test` builds the examples of a package before its tests, into the folder beside theirs; not when it is told which tests to run.
pub(crate) fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples").join(name)
}
