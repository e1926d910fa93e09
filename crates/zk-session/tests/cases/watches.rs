//! Watches on one node.

use zk_session::{Kind, Op, What};

use super::{World, has_fired, make, path, session, soon};

pub(crate) async fn a_watched_node_says_once_that_it_was_made(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let node = path(world, "n");
    let (there, changed) = a.watch_node(&node).await.unwrap();
    assert_eq!(there, None);
    b.create(&node, b"made", Kind::Persistent).await.unwrap();
    assert_eq!(soon(changed).await, Some(What::Created));
    assert_eq!(a.get(&node).await.unwrap().unwrap().data, b"made");
}

pub(crate) async fn a_watched_node_says_once_that_it_was_written(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let node = path(world, "n");
    let made = b.create(&node, b"data", Kind::Persistent).await.unwrap();
    a.sync(&node).await.unwrap();
    let (there, changed) = a.watch_node(&node).await.unwrap();
    let there = there.unwrap();
    assert_eq!((there.data, there.stat), (b"data".to_vec(), made.stat));
    b.set(&node, b"data", None).await.unwrap();
    assert_eq!(soon(changed).await, Some(What::Changed));

    // A watch that was set after a change knows nothing of it.
    a.sync(&node).await.unwrap();
    let (_, changed) = a.watch_node(&node).await.unwrap();
    a.exists(&node).await.unwrap();
    assert!(!has_fired(changed));
}

pub(crate) async fn a_watched_node_says_once_that_it_is_gone(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let node = path(world, "n");
    make(&*a, &node).await;
    let (_, changed) = a.watch_node(&node).await.unwrap();
    b.delete(&node, None).await.unwrap();
    assert_eq!(soon(changed).await, Some(What::Deleted));
    assert_eq!(a.exists(&node).await.unwrap(), None);
}

pub(crate) async fn a_watched_node_is_silent_about_its_children(world: &dyn World) {
    let a = session(world).await;
    let (node, child) = (path(world, "n"), path(world, "n/child"));
    make(&*a, &node).await;
    let (_, changed) = a.watch_node(&node).await.unwrap();
    make(&*a, &child).await;
    a.set(&child, b"x", None).await.unwrap();
    a.delete(&child, None).await.unwrap();
    make(&*a, &path(world, "no")).await;
    assert!(!has_fired(changed));
}

pub(crate) async fn two_watches_on_a_node_both_fire(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let node = path(world, "n");
    make(&*a, &node).await;
    b.sync(&node).await.unwrap();
    let (_, first) = a.watch_node(&node).await.unwrap();
    let (_, second) = a.watch_node(&node).await.unwrap();
    let (_, others) = b.watch_node(&node).await.unwrap();
    a.set(&node, b"x", None).await.unwrap();
    soon(first).await;
    soon(second).await;
    soon(others).await;
}

pub(crate) async fn a_dropped_watch_on_a_node_leaves_the_others(world: &dyn World) {
    let a = session(world).await;
    let node = path(world, "n");
    make(&*a, &node).await;
    let (_, kept) = a.watch_node(&node).await.unwrap();
    let (_, dropped) = a.watch_node(&node).await.unwrap();
    drop(dropped);
    a.exists(&node).await.unwrap();
    a.set(&node, b"x", None).await.unwrap();
    soon(kept).await;
}

pub(crate) async fn a_node_replaced_in_a_commit_fires_its_watch(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let node = path(world, "n");
    a.create(&node, b"", Kind::Ephemeral).await.unwrap();
    let (_, changed) = a.watch_node(&node).await.unwrap();
    let replace = [
        Op::Delete { path: node.clone(), version: Some(0) },
        Op::Create { path: node.clone(), data: b"b".to_vec(), kind: Kind::Ephemeral },
    ];
    b.commit(&replace).await.unwrap();
    soon(changed).await;
    // What it fires for can be read, whole: there is no moment without a node.
    let now = a.get(&node).await.unwrap().unwrap();
    assert_eq!(now.stat.owner, Some(b.id()));
}
