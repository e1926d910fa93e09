//! Watches on a tree.

use zk_session::{Change, Kind, Op, Session, What};

use super::{World, changes, make, nothing_before, path, session, soon};

pub(crate) async fn a_watched_tree_tells_all_that_happens_in_it(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let (top, child, deep) = (path(world, "t"), path(world, "t/c"), path(world, "t/c/d"));
    make(&*a, &top).await;
    let mut told = a.watch_tree(&top).await.unwrap();
    b.set(&top, b"x", None).await.unwrap();
    b.create(&child, b"", Kind::Persistent).await.unwrap();
    b.create(&deep, b"", Kind::Ephemeral).await.unwrap();
    b.set(&deep, b"x", None).await.unwrap();
    b.delete(&deep, None).await.unwrap();
    b.delete(&child, None).await.unwrap();
    b.delete(&top, None).await.unwrap();
    let expected = [
        (What::Changed, top.clone()),
        (What::Created, child.clone()),
        (What::Created, deep.clone()),
        (What::Changed, deep.clone()),
        (What::Deleted, deep),
        (What::Deleted, child),
        (What::Deleted, top.clone()),
    ];
    assert_eq!(changes(&mut told, expected.len()).await, expected);
    nothing_before(&mut told, &*b, &top).await;
}

pub(crate) async fn a_watched_tree_ends_at_a_slash(world: &dyn World) {
    let a = session(world).await;
    let top = path(world, "t");
    make(&*a, &top).await;
    let mut told = a.watch_tree(&top).await.unwrap();
    make(&*a, &path(world, "t2")).await;
    make(&*a, &path(world, "t2/child")).await;
    a.set(world.root(), b"x", None).await.unwrap();
    nothing_before(&mut told, &*a, &path(world, "t/c")).await;
}

pub(crate) async fn a_watched_tree_may_be_absent_and_outlives_its_root(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let (top, child) = (path(world, "t"), path(world, "t/c"));
    let mut told = a.watch_tree(&top).await.unwrap();
    for _ in 0..2 {
        make(&*b, &top).await;
        make(&*b, &child).await;
        b.delete(&child, None).await.unwrap();
        b.delete(&top, None).await.unwrap();
        let expected = [
            (What::Created, top.clone()),
            (What::Created, child.clone()),
            (What::Deleted, child.clone()),
            (What::Deleted, top.clone()),
        ];
        assert_eq!(changes(&mut told, 4).await, expected);
    }
}

pub(crate) async fn a_watched_tree_tells_a_commit_one_by_one(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let (x, y) = (path(world, "x"), path(world, "y"));
    make(&*a, &x).await;
    let mut told = a.watch_tree(world.root()).await.unwrap();
    let fails = [
        Op::Set { path: x.clone(), data: Vec::new(), version: None },
        Op::Check { path: y.clone(), version: None },
    ];
    assert!(b.commit(&fails).await.is_err());
    b.commit(&[
        Op::Create { path: y.clone(), data: Vec::new(), kind: Kind::Persistent },
        Op::Check { path: y.clone(), version: None },
        Op::Set { path: x.clone(), data: Vec::new(), version: None },
        Op::Delete { path: x.clone(), version: None },
        Op::Create { path: x.clone(), data: Vec::new(), kind: Kind::Ephemeral },
    ])
    .await
    .unwrap();
    let expected =
        [(What::Created, y), (What::Changed, x.clone()), (What::Deleted, x.clone()), (What::Created, x)];
    assert_eq!(changes(&mut told, 4).await, expected);
}

pub(crate) async fn a_watched_tree_tells_of_our_own_changes(world: &dyn World) {
    let a = session(world).await;
    let mut told = a.watch_tree(world.root()).await.unwrap();
    let node = path(world, "n");
    make(&*a, &node).await;
    // Here already, before the answer to our own write.
    assert_eq!(told.try_next(), Some(Change { path: node, what: What::Created }));
    assert_eq!(told.try_next(), None);
}

pub(crate) async fn a_change_is_here_before_a_read_shows_it(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let node = path(world, "n");
    make(&*a, &node).await;
    let mut told = a.watch_tree(world.root()).await.unwrap();
    for round in 1..=50 {
        let write = b.set(&node, b"", None);
        let read = async {
            while a.exists(&node).await.unwrap().unwrap().version < round {
                tokio::task::yield_now().await;
            }
            assert!(told.try_next().is_some(), "the read was ahead in round {round}");
        };
        let (written, ()) = soon(async { tokio::join!(write, read) }).await;
        written.unwrap();
    }
}

pub(crate) async fn a_thousand_changes_are_here_before_a_read_shows_the_last(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let mut told = a.watch_tree(world.root()).await.unwrap();
    let set = Op::Set { path: world.root().to_owned(), data: Vec::new(), version: None };
    b.commit(&vec![set.clone(); 500]).await.unwrap();
    b.commit(&vec![set; 500]).await.unwrap();
    a.sync(world.root()).await.unwrap();
    assert!(a.exists(world.root()).await.unwrap().unwrap().version >= 1000);
    // All in one go: a task that lets others run in between would not notice what is withheld.
    let count = std::iter::from_fn(|| told.try_next()).count();
    assert_eq!(count, 1000);
}

pub(crate) async fn trees_may_overlap_and_be_dropped_one_by_one(world: &dyn World) {
    let a = session(world).await;
    let (top, child) = (path(world, "t"), path(world, "t/c"));
    make(&*a, &top).await;
    let mut all = a.watch_tree(world.root()).await.unwrap();
    let mut first = a.watch_tree(&top).await.unwrap();
    let second = a.watch_tree(&top).await.unwrap();
    drop(second);
    settle(&*a).await;
    make(&*a, &child).await;
    assert_eq!(changes(&mut first, 1).await, [(What::Created, child.clone())]);
    assert_eq!(changes(&mut all, 1).await, [(What::Created, child.clone())]);
    drop(first);
    settle(&*a).await;
    a.delete(&child, None).await.unwrap();
    assert_eq!(changes(&mut all, 1).await, [(What::Deleted, child)]);
}

pub(crate) async fn a_node_in_a_watched_tree_can_be_watched_too(world: &dyn World) {
    let a = session(world).await;
    let (node, other) = (path(world, "n"), path(world, "other"));
    make(&*a, &node).await;
    let mut told = a.watch_tree(world.root()).await.unwrap();
    let (_, changed) = a.watch_node(&node).await.unwrap();
    a.set(&node, b"x", None).await.unwrap();
    soon(changed).await;
    let (_, dropped) = a.watch_node(&node).await.unwrap();
    drop(dropped);
    settle(&*a).await;
    a.set(&node, b"y", None).await.unwrap();
    make(&*a, &other).await;
    let expected = [(What::Changed, node.clone()), (What::Changed, node), (What::Created, other)];
    assert_eq!(changes(&mut told, 3).await, expected);
}

pub(crate) async fn a_watch_on_the_root_of_a_watched_tree_may_silence_it(world: &dyn World) {
    let a = session(world).await;
    let (top, child) = (path(world, "t"), path(world, "t/c"));
    make(&*a, &top).await;
    let mut told = a.watch_tree(&top).await.unwrap();
    let (_, changed) = a.watch_node(&top).await.unwrap();
    drop(changed);
    settle(&*a).await;
    make(&*a, &child).await;
    a.set(&top, b"x", None).await.unwrap();
    assert_eq!(told.try_next().is_none(), world.forgets_trees().await);

    // The other way round both are well.
    let (_, changed) = a.watch_node(&top).await.unwrap();
    let mut told = a.watch_tree(&top).await.unwrap();
    a.set(&child, b"x", None).await.unwrap();
    a.set(&top, b"y", None).await.unwrap();
    soon(changed).await;
    a.set(&top, b"z", None).await.unwrap();
    let expected = [(What::Changed, child), (What::Changed, top.clone()), (What::Changed, top)];
    assert_eq!(changes(&mut told, 3).await, expected);
}

/// What giving a watch up sends is at the server once a later request is answered.
async fn settle(session: &dyn Session) {
    for _ in 0..3 {
        tokio::task::yield_now().await;
        session.sync("/").await.unwrap();
    }
}
