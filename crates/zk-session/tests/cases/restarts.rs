//! What a server keeps when it stops, and what an older state does.

use tokio::time::sleep;
use zk_session::{Error, Kind, What};

use super::{Connected, Machine, back, changes, make, path, session, soon, with_node};

pub(crate) async fn a_restarted_server_knows_its_nodes_and_sessions(world: &dyn Machine) {
    let Connected { client, session: before } = session(world).await;
    let node = path(world, "n");
    let made = before.create(&node, b"data", Kind::Ephemeral).await.unwrap();
    world.stop().await;
    soon(before.ended()).await;
    assert!(matches!(client.connect().await, Err(Error::Unreachable { .. })));
    world.start().await;

    let after = back(&*client).await;
    assert_eq!(after.id(), before.id());
    let there = after.get(&node).await.unwrap().unwrap();
    assert_eq!((there.data, there.stat), (b"data".to_vec(), made.stat));
    assert!(after.set(&node, b"", None).await.unwrap().mzxid > made.stat.czxid);
}

pub(crate) async fn a_session_outlives_a_server_that_is_down_and_then_expires(world: &dyn Machine) {
    let (client, node) = (world.mortal().await, path(world, "n"));
    let before = with_node(&*client, &node).await;
    // To the end of the server the session is heard of.
    world.stop().await;
    client.set_reachable(false).await;
    sleep(2 * before.timeout()).await;
    world.start().await;

    let other = world.client().await;
    let watcher = back(&*other).await;
    let mut told = watcher.watch_tree(world.root()).await.unwrap();
    assert_eq!(watcher.exists(&node).await.unwrap().unwrap().owner, Some(before.id()));
    assert_eq!(changes(&mut told, 1).await, [(What::Deleted, node)]);
}

pub(crate) async fn an_older_state_is_the_truth_for_clients_that_saw_a_newer_one(world: &dyn Machine) {
    let Connected { client, session: first } = session(world).await;
    let (node, later) = (path(world, "n"), path(world, "later"));
    let then = first.create(&node, b"old", Kind::Ephemeral).await.unwrap();
    world.stop().await;
    world.save().await;
    world.start().await;

    let second = back(&*client).await;
    second.set(&node, b"new", None).await.unwrap();
    make(&*second, &later).await;
    let Connected { client: newcomer, session: newer } = session(world).await;
    newer.create(&path(world, "newer"), b"", Kind::Ephemeral).await.unwrap();
    world.stop().await;
    world.go_back().await;
    world.start().await;

    let third = back(&*client).await;
    assert_eq!(third.id(), first.id());
    let there = third.get(&node).await.unwrap().unwrap();
    assert_eq!((there.data, there.stat), (b"old".to_vec(), then.stat));
    assert_eq!(third.children(world.root()).await.unwrap(), ["n"]);
    assert_ne!(back(&*newcomer).await.id(), newer.id());
}

pub(crate) async fn an_emptied_container_goes(world: &dyn Machine) {
    let a = session(world).await;
    let (outer, inner, child) = (path(world, "c"), path(world, "c/c"), path(world, "c/c/n"));
    for container in [&outer, &inner] {
        a.create(container, b"", Kind::Container).await.unwrap();
    }
    let mut told = a.watch_tree(world.root()).await.unwrap();
    make(&*a, &child).await;
    a.delete(&child, None).await.unwrap();
    assert_eq!(changes(&mut told, 2).await, [(What::Created, child.clone()), (What::Deleted, child)]);
    for gone in [inner, outer] {
        world.reap().await;
        assert_eq!(changes(&mut told, 1).await, [(What::Deleted, gone)]);
    }
}
