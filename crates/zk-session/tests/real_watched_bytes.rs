//! More watched paths than a client may set again in one request, on a real server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use zk_local::{Proxy, Server};
use zk_session::{Directory, Keeper, Node, Options, Source, State, ZooKeeper};

const LIMIT: Duration = Duration::from_secs(60);
/// The bare client sets no more than this again at once, and a second request for the rest ends its session.
const AT_ONCE: usize = 128 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_more_watched_bytes_than_a_client_may_set_again_lives_through_a_cut() {
    let server = Server::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let zookeeper = ZooKeeper::builder(&proxy.connect_string()).session_timeout(Duration::from_secs(30));
    let keeper = Keeper::start(zookeeper.build().unwrap());
    let paths: Vec<_> = (0..1_000).map(|number| format!("/{number:04}-{}", "x".repeat(150))).collect();
    assert!(paths.iter().map(String::len).sum::<usize>() > AT_ONCE);
    let read = Arc::new(|name: &str, _: &Node| Ok(Some(name.to_owned())));
    let follow =
        |path: &String| Directory::follow(keeper.sessions(), path.clone(), Options::default(), read.clone());
    let directories: Vec<_> = paths.iter().map(follow).collect();
    let mut views: Vec<_> = directories.iter().map(Directory::view).collect();
    let live = |view: &Option<zk_session::View<String>>| {
        view.as_ref().is_some_and(|view| view.source == Source::Live)
    };
    for view in &mut views {
        timeout(LIMIT, view.wait_for(live)).await.unwrap().unwrap();
    }
    let session = || match *keeper.sessions().state().borrow() {
        State::Connected { id, .. } => Some(id),
        _ => None,
    };
    let before = session();
    assert!(before.is_some());

    for _ in 0..2 {
        views.iter_mut().for_each(tokio::sync::watch::Receiver::mark_unchanged);
        proxy.cut();
        for view in &mut views {
            // It is marked stale, and known to be the truth again.
            timeout(LIMIT, view.changed()).await.unwrap().unwrap();
            timeout(LIMIT, view.wait_for(live)).await.unwrap().unwrap();
        }
        assert_eq!(session(), before);
    }
    keeper.close().await;
}
