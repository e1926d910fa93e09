//! What the tests of directories share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zk_session::fake::FakeZk;
use zk_session::{Directory, Node, Options, SessionId, Source, View};

use super::{Process, eventually, until};

pub(crate) const DIR: &str = "/services/a";
pub(crate) const T: Duration = Duration::from_secs(4);

/// Entries are texts; "bad" cannot be read, and "hidden" is left out.
pub(crate) fn follow(process: &Process, options: Options) -> Directory<String> {
    follow_at(process, DIR, options)
}

/// The same of another directory.
pub(crate) fn follow_at(process: &Process, path: &str, options: Options) -> Directory<String> {
    let read = Arc::new(|name: &str, node: &Node| match &*node.data {
        b"bad" => Err("it says so".to_owned()),
        b"hidden" => Ok(None),
        data => Ok(Some(format!("{name}={}", String::from_utf8_lossy(data)))),
    });
    Directory::follow(process.sessions(), path.to_owned(), options, read)
}

pub(crate) fn put(zk: &FakeZk, names: &[&str]) {
    for name in names {
        zk.put(&format!("{DIR}/{name}"), "1");
    }
}

pub(crate) fn remove(zk: &FakeZk, names: &[&str]) {
    for name in names {
        assert!(zk.remove(&format!("{DIR}/{name}")));
    }
}

pub(crate) fn names(view: &View<String>) -> Vec<&str> {
    view.entries.iter().map(|entry| entry.split('=').next().unwrap_or_default()).collect()
}

pub(crate) type Views = watch::Receiver<Option<View<String>>>;

pub(crate) async fn shows(views: &mut Views, live: bool, expected: &[&str]) {
    let what = format!("{} {expected:?}", if live { "live" } else { "stale" });
    until(views, &what, |view| {
        view.as_ref().is_some_and(|view| names(view) == expected && (view.source == Source::Live) == live)
    })
    .await;
}

pub(crate) fn session(process: &Process) -> SessionId {
    process.client.session().expect("connected")
}

/// Cuts a process off until its session is over, and lets it back.
pub(crate) async fn lose_session(zk: &FakeZk, process: &Process) {
    let before = session(process);
    process.client.set_reachable(false);
    eventually("the session expires", || !zk.sessions().contains(&before)).await;
    process.client.set_reachable(true);
}
