//! Connections and sessions: what ends with which.

use zk_session::{Change, Error, Kind, Op, What};

use super::{Connected, World, back, changes, gone, make, path, session, soon, with_node};

pub(crate) async fn every_client_has_a_session_of_its_own(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    assert_ne!(a.id(), b.id());
    assert!(!a.timeout().is_zero());
    assert_eq!(a.timeout(), b.timeout());
}

pub(crate) async fn a_cut_connection_is_over_and_its_session_goes_on(world: &dyn World) {
    let Connected { client, session: before } = session(world).await;
    let node = path(world, "n");
    before.create(&node, b"", Kind::Ephemeral).await.unwrap();
    client.cut().await;
    soon(async { tokio::join!(before.ended(), before.ended()) }).await;
    soon(before.ended()).await;

    let ops = [Op::Check { path: node.clone(), version: None }];
    let answers = [
        before.create(&node, b"", Kind::Persistent).await.err(),
        before.set(&node, b"", None).await.err(),
        before.delete(&node, None).await.err(),
        before.get(&node).await.err(),
        before.exists(&node).await.err(),
        before.children(&node).await.err(),
        before.get_many(std::slice::from_ref(&node)).await.err(),
        before.commit(&ops).await.err(),
        before.watch_node(&node).await.err(),
        before.watch_tree(&node).await.err(),
        before.sync(&node).await.err(),
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        assert!(matches!(answer, Some(Error::Interrupted)), "call {n} gave {answer:?}");
    }

    let after = soon(client.connect()).await.unwrap();
    assert_eq!(after.id(), before.id());
    assert_eq!(after.exists(&node).await.unwrap().unwrap().owner, Some(after.id()));
}

pub(crate) async fn watches_end_with_the_connection(world: &dyn World) {
    let Connected { client, session: before } = session(world).await;
    let node = path(world, "n");
    make(&*before, &node).await;
    let (_, changed) = before.watch_node(&node).await.unwrap();
    let mut told = before.watch_tree(world.root()).await.unwrap();
    client.cut().await;
    soon(changed).await;
    assert_eq!(soon(told.next()).await, None);
    assert_eq!(told.try_next(), None);

    // The next connection knows nothing of them.
    let after = soon(client.connect()).await.unwrap();
    after.set(&node, b"x", None).await.unwrap();
    assert_eq!(soon(told.next()).await, None);
}

pub(crate) async fn a_lost_reply_leaves_the_write_done(world: &dyn World) {
    let Connected { client, session: before } = session(world).await;
    let node = path(world, "n");
    client.lose_next_reply().await;
    let made = soon(before.create(&node, b"", Kind::Ephemeral)).await;
    assert!(matches!(made, Err(Error::Interrupted)), "{made:?}");
    soon(before.ended()).await;
    let after = soon(client.connect()).await.unwrap();
    after.sync(&node).await.unwrap();
    assert_eq!(after.exists(&node).await.unwrap().unwrap().owner, Some(before.id()));
}

pub(crate) async fn a_session_unheard_of_takes_its_nodes_with_it(world: &dyn World) {
    let client = world.mortal().await;
    let watcher = session(world).await;
    let (node, stays) = (path(world, "n"), path(world, "stays"));
    make(&*watcher, &stays).await;
    let before = with_node(&*client, &node).await;
    watcher.sync(&node).await.unwrap();
    let (there, gone) = watcher.watch_node(&node).await.unwrap();
    assert_eq!(there.unwrap().stat.owner, Some(before.id()));

    client.set_reachable(false).await;
    soon(before.ended()).await;
    assert!(matches!(client.connect().await, Err(Error::Unreachable { .. })));
    assert_eq!(soon(gone).await, Some(What::Deleted));

    client.set_reachable(true).await;
    let after = back(&*client).await;
    assert_ne!(after.id(), before.id());
    assert_eq!(watcher.exists(&node).await.unwrap(), None);
    assert!(watcher.exists(&stays).await.unwrap().is_some());
}

pub(crate) async fn a_closed_session_takes_its_nodes_with_it(world: &dyn World) {
    let Connected { client, session: session_a } = session(world).await;
    let watcher = session(world).await;
    let (node, stays) = (path(world, "n"), path(world, "stays"));
    session_a.create(&node, b"", Kind::Ephemeral).await.unwrap();
    session_a.create(&stays, b"", Kind::Container).await.unwrap();
    soon(client.close()).await;
    soon(session_a.ended()).await;
    assert!(matches!(session_a.get(&node).await, Err(Error::Interrupted)));
    gone(&*watcher, &node).await;
    assert!(watcher.exists(&stays).await.unwrap().is_some());
}

pub(crate) async fn a_session_that_ends_tells_who_watches(world: &dyn World) {
    let Connected { client, session: ending } = session(world).await;
    let watcher = session(world).await;
    let node = path(world, "n");
    ending.create(&node, b"", Kind::Ephemeral).await.unwrap();
    watcher.sync(&node).await.unwrap();
    let (_, changed) = watcher.watch_node(&node).await.unwrap();
    let mut told = watcher.watch_tree(world.root()).await.unwrap();
    soon(client.close()).await;
    soon(changed).await;
    assert_eq!(soon(told.next()).await, Some(Change { path: node, what: What::Deleted }));
}

pub(crate) async fn a_closed_client_connects_no_more(world: &dyn World) {
    let Connected { client, session } = session(world).await;
    client.close().await;
    soon(session.ended()).await;
    assert!(client.connect().await.is_err());
    // Once more is no harm.
    soon(client.close()).await;

    let never_connected = world.client().await;
    soon(never_connected.close()).await;
    assert!(never_connected.connect().await.is_err());
}

pub(crate) async fn a_dropped_client_ends_its_session(world: &dyn World) {
    let Connected { client, session: ending } = session(world).await;
    let watcher = session(world).await;
    let node = path(world, "n");
    ending.create(&node, b"", Kind::Ephemeral).await.unwrap();
    watcher.sync(&node).await.unwrap();
    let (there, changed) = watcher.watch_node(&node).await.unwrap();
    assert!(there.is_some());
    drop(client);
    soon(ending.ended()).await;
    soon(changed).await;
    assert_eq!(watcher.exists(&node).await.unwrap(), None);
}

pub(crate) async fn a_session_that_nobody_holds_goes_on(world: &dyn World) {
    let Connected { client, session: held } = session(world).await;
    let other = session(world).await;
    let node = path(world, "n");
    held.create(&node, b"", Kind::Ephemeral).await.unwrap();
    let mut told = held.watch_tree(world.root()).await.unwrap();
    let id = held.id();
    drop(held);
    other.set(&node, b"x", None).await.unwrap();
    assert_eq!(changes(&mut told, 1).await, [(What::Changed, node.clone())]);
    assert_eq!(other.exists(&node).await.unwrap().unwrap().owner, Some(id));
    drop(client);
}
