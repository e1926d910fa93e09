//! Nodes: what is written and read.

use futures::FutureExt;
use futures::future::join_all;
use zk_session::{Error, Kind, Op, READ_BATCH};

use super::{World, make, path, session, soon};

pub(crate) async fn a_new_node_reads_as_it_was_made(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let node = path(world, "n");
    let created = a.create(&node, b"data", Kind::Persistent).await.unwrap();
    assert_eq!(created.path, node);
    let stat = created.stat;
    assert!(stat.czxid > 0);
    assert_eq!((stat.mzxid, stat.version, stat.owner, stat.children), (stat.czxid, 0, None, 0));

    b.sync(&node).await.unwrap();
    let read = b.get(&node).await.unwrap().unwrap();
    assert_eq!((read.data, read.stat), (b"data".to_vec(), stat));
    assert_eq!(b.exists(&node).await.unwrap(), Some(stat));
}

pub(crate) async fn transactions_are_numbered_in_their_order(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let first = a.create(&path(world, "a"), b"", Kind::Persistent).await.unwrap();
    let second = b.create(&path(world, "b"), b"", Kind::Ephemeral).await.unwrap();
    assert!(second.stat.czxid > first.stat.czxid);
    let third = a.set(&path(world, "b"), b"x", None).await.unwrap();
    assert!(third.mzxid > second.stat.mzxid);
    assert_eq!(third.czxid, second.stat.czxid);
}

pub(crate) async fn a_set_counts_the_version_that_is_asked_for(world: &dyn World) {
    let a = session(world).await;
    let node = path(world, "n");
    make(&*a, &node).await;
    assert_eq!(a.set(&node, b"1", Some(0)).await.unwrap().version, 1);
    assert!(matches!(a.set(&node, b"no", Some(0)).await, Err(Error::BadVersion)));
    assert!(matches!(a.set(&node, b"no", Some(2)).await, Err(Error::BadVersion)));
    assert_eq!(a.set(&node, b"2", None).await.unwrap().version, 2);
    assert_eq!(a.get(&node).await.unwrap().unwrap().data, b"2");
    assert!(matches!(a.set(&path(world, "absent"), b"", None).await, Err(Error::NoNode)));
}

pub(crate) async fn a_write_of_the_same_data_counts_too(world: &dyn World) {
    let a = session(world).await;
    let node = path(world, "n");
    let made = a.create(&node, b"same", Kind::Persistent).await.unwrap().stat;
    let written = a.set(&node, b"same", None).await.unwrap();
    assert_eq!(written.version, 1);
    assert!(written.mzxid > made.mzxid);
}

pub(crate) async fn a_node_made_again_is_another_node(world: &dyn World) {
    let a = session(world).await;
    let node = path(world, "n");
    let before = a.create(&node, b"", Kind::Persistent).await.unwrap().stat;
    a.set(&node, b"x", None).await.unwrap();
    a.delete(&node, Some(1)).await.unwrap();
    let after = a.create(&node, b"", Kind::Persistent).await.unwrap().stat;
    assert_eq!(after.version, 0);
    assert!(after.czxid > before.czxid);
}

pub(crate) async fn a_node_needs_its_parent(world: &dyn World) {
    let a = session(world).await;
    for kind in [Kind::Persistent, Kind::Container, Kind::Ephemeral, Kind::EphemeralSequential] {
        let made = a.create(&path(world, "absent/n"), b"", kind).await;
        assert!(matches!(made, Err(Error::NoNode)), "{kind:?} {made:?}");
    }
}

pub(crate) async fn a_path_has_one_node(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let node = path(world, "n");
    a.create(&node, b"a", Kind::Ephemeral).await.unwrap();
    for kind in [Kind::Persistent, Kind::Container, Kind::Ephemeral] {
        let made = b.create(&node, b"b", kind).await;
        assert!(matches!(made, Err(Error::NodeExists)), "{kind:?} {made:?}");
    }
    assert_eq!(a.get(&node).await.unwrap().unwrap().data, b"a");
}

pub(crate) async fn a_delete_asks_for_existence_then_version_then_children(world: &dyn World) {
    let a = session(world).await;
    let (node, child) = (path(world, "n"), path(world, "n/child"));
    assert!(matches!(a.delete(&node, Some(7)).await, Err(Error::NoNode)));
    make(&*a, &node).await;
    make(&*a, &child).await;
    assert!(matches!(a.delete(&node, Some(7)).await, Err(Error::BadVersion)));
    assert!(matches!(a.delete(&node, Some(0)).await, Err(Error::Children)));
    a.delete(&child, None).await.unwrap();
    a.delete(&node, Some(0)).await.unwrap();
    assert_eq!(a.get(&node).await.unwrap(), None);
}

pub(crate) async fn an_ephemeral_node_has_an_owner_and_no_children(world: &dyn World) {
    let a = session(world).await;
    let node = path(world, "n");
    let made = a.create(&node, b"", Kind::Ephemeral).await.unwrap();
    assert_eq!(made.stat.owner, Some(a.id()));
    assert_eq!(a.exists(&node).await.unwrap(), Some(made.stat));
    for kind in [Kind::Persistent, Kind::Container, Kind::Ephemeral, Kind::EphemeralSequential] {
        let made = a.create(&format!("{node}/child"), b"", kind).await;
        assert!(matches!(made, Err(Error::Children)), "{kind:?} {made:?}");
    }
}

pub(crate) async fn others_may_write_and_delete_an_ephemeral_node(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let node = path(world, "n");
    a.create(&node, b"", Kind::Ephemeral).await.unwrap();
    assert_eq!(b.set(&node, b"b", Some(0)).await.unwrap().owner, Some(a.id()));
    b.delete(&node, Some(1)).await.unwrap();
    assert_eq!(b.exists(&node).await.unwrap(), None);
}

pub(crate) async fn a_sequence_counts_all_children_ever_made(world: &dyn World) {
    let (a, b) = (session(world).await, session(world).await);
    let prefix = path(world, "s-");
    let first = a.create(&prefix, b"1", Kind::EphemeralSequential).await.unwrap();
    assert_eq!(first.path, format!("{prefix}0000000000"));
    assert_eq!(first.stat.owner, Some(a.id()));
    assert_eq!(a.get(&first.path).await.unwrap().unwrap().data, b"1");

    make(&*b, &path(world, "other")).await;
    let third = b.create(&prefix, b"", Kind::EphemeralSequential).await.unwrap();
    assert_eq!(third.path, format!("{prefix}0000000002"));

    for gone in [first.path, third.path, path(world, "other")] {
        a.delete(&gone, None).await.unwrap();
    }
    a.set(world.root(), b"changed", None).await.unwrap();
    let fourth = a.create(&prefix, b"", Kind::EphemeralSequential).await.unwrap();
    assert_eq!(fourth.path, format!("{prefix}0000000003"));
}

pub(crate) async fn a_sequence_can_be_a_whole_name(world: &dyn World) {
    let a = session(world).await;
    let made = a.create(&path(world, ""), b"", Kind::EphemeralSequential).await.unwrap();
    assert_eq!(made.path, path(world, "0000000000"));
    assert_eq!(a.children(world.root()).await.unwrap(), ["0000000000"]);
}

pub(crate) async fn a_container_stays_until_it_has_had_children(world: &dyn World) {
    let a = session(world).await;
    let (container, child) = (path(world, "c"), path(world, "c/child"));
    let made = a.create(&container, b"", Kind::Container).await.unwrap();
    assert_eq!(made.stat.owner, None);
    a.create(&child, b"", Kind::Ephemeral).await.unwrap();
    let stat = a.exists(&container).await.unwrap().unwrap();
    assert_eq!((stat.owner, stat.children, stat.czxid), (None, 1, made.stat.czxid));
}

pub(crate) async fn children_are_listed_and_counted(world: &dyn World) {
    let a = session(world).await;
    for name in ["b", "a", "b/x", "a.b", "a/x"] {
        make(&*a, &path(world, name)).await;
    }
    let mut names = a.children(world.root()).await.unwrap();
    names.sort();
    assert_eq!(names, ["a", "a.b", "b"]);
    assert_eq!(a.exists(world.root()).await.unwrap().unwrap().children, 3);
    a.delete(&path(world, "a.b"), None).await.unwrap();
    assert_eq!(a.exists(world.root()).await.unwrap().unwrap().children, 2);
    assert_eq!(a.children(&path(world, "a/x")).await.unwrap(), Vec::<String>::new());
}

pub(crate) async fn what_is_absent_reads_as_none(world: &dyn World) {
    let a = session(world).await;
    let absent = path(world, "absent");
    assert_eq!(a.get(&absent).await.unwrap(), None);
    assert_eq!(a.exists(&absent).await.unwrap(), None);
    assert!(matches!(a.children(&absent).await, Err(Error::NoNode)));
    assert!(matches!(a.children(&format!("{absent}/deeper")).await, Err(Error::NoNode)));
}

pub(crate) async fn many_nodes_are_read_in_the_order_asked_for(world: &dyn World) {
    let a = session(world).await;
    let paths: Vec<String> = (0..2 * READ_BATCH + 50).map(|n| path(world, &format!("n{n}"))).collect();
    // Each third is absent.
    let mut ops = Vec::new();
    for (n, path) in paths.iter().enumerate().filter(|(n, _)| n % 3 != 2) {
        let data = n.to_string().into_bytes();
        ops.push(Op::Create { path: path.clone(), data, kind: Kind::Persistent });
    }
    a.commit(&ops).await.unwrap();
    let nodes = a.get_many(&paths).await.unwrap();
    assert_eq!(nodes.len(), paths.len());
    for (n, node) in nodes.into_iter().enumerate() {
        let data = node.unwrap().map(|node| node.data);
        assert_eq!(data, (n % 3 != 2).then(|| n.to_string().into_bytes()), "{n}");
    }
    assert!(a.get_many(&[]).await.unwrap().is_empty());
}

pub(crate) async fn the_root_is_there(world: &dyn World) {
    let a = session(world).await;
    assert!(a.get("/").await.unwrap().is_some());
    assert!(a.children("/").await.unwrap().contains(&"zookeeper".to_owned()));
    let made = a.create("/", b"", Kind::Persistent).await;
    assert!(made.is_err());
}

pub(crate) async fn a_sync_needs_no_node(world: &dyn World) {
    let a = session(world).await;
    a.sync(world.root()).await.unwrap();
    a.sync(&path(world, "absent/deeper")).await.unwrap();
}

pub(crate) async fn a_commit_is_one_transaction(world: &dyn World) {
    let a = session(world).await;
    let (x, y) = (path(world, "x"), path(world, "y"));
    make(&*a, &x).await;
    a.commit(&[set(&x, b"new"), create(&y, Kind::Persistent)]).await.unwrap();
    let (x, y) = (a.get(&x).await.unwrap().unwrap(), a.get(&y).await.unwrap().unwrap());
    assert_eq!(x.data, b"new");
    assert_eq!(x.stat.mzxid, y.stat.czxid);
    assert!(x.stat.mzxid > x.stat.czxid);
}

pub(crate) async fn operations_of_a_commit_see_those_before_them(world: &dyn World) {
    let a = session(world).await;
    let (dir, gone) = (path(world, "dir"), path(world, "gone"));
    let ops = [
        create(&dir, Kind::Container),
        create(&format!("{dir}/child"), Kind::Persistent),
        set(&format!("{dir}/child"), b"1"),
        check(&format!("{dir}/child"), Some(1)),
        create(&gone, Kind::Ephemeral),
        check(&gone, None),
        delete(&gone, Some(0)),
        create(&gone, Kind::Persistent),
        delete(&gone, None),
    ];
    a.commit(&ops).await.unwrap();
    assert_eq!(a.children(&dir).await.unwrap(), ["child"]);
    assert_eq!(a.exists(&gone).await.unwrap(), None);
}

pub(crate) async fn a_commit_that_fails_does_nothing_and_says_where(world: &dyn World) {
    let a = session(world).await;
    let there = path(world, "there");
    let absent = path(world, "absent");
    make(&*a, &there).await;
    make(&*a, &format!("{there}/child")).await;
    let before = a.get(&there).await.unwrap();
    type Is = fn(&Error) -> bool;
    let cases: [(Op, Is); 7] = [
        (create(&there, Kind::Persistent), |e| matches!(e, Error::NodeExists)),
        (create(&format!("{absent}/n"), Kind::Ephemeral), |e| matches!(e, Error::NoNode)),
        (set(&absent, b""), |e| matches!(e, Error::NoNode)),
        (delete(&there, None), |e| matches!(e, Error::Children)),
        (delete(&there, Some(5)), |e| matches!(e, Error::BadVersion)),
        (check(&absent, None), |e| matches!(e, Error::NoNode)),
        (check(&there, Some(0)), |e| matches!(e, Error::BadVersion)),
    ];
    for (wrong, expected) in cases {
        let new = path(world, "new");
        let ops = [set(&there, b"x"), create(&new, Kind::Persistent), wrong.clone(), delete(&new, None)];
        let Err(Error::Aborted { index: 2, source }) = a.commit(&ops).await else {
            panic!("{wrong:?} should have failed as the third");
        };
        assert!(expected(&source), "{wrong:?} gave {source:?}");
        assert_eq!(a.exists(&new).await.unwrap(), None);
        assert_eq!(a.get(&there).await.unwrap(), before);
    }
    let alone = a.commit(&[delete(&absent, None)]).await;
    assert!(matches!(alone, Err(Error::Aborted { index: 0, .. })), "{alone:?}");
}

pub(crate) async fn a_commit_makes_ephemeral_and_sequential_nodes(world: &dyn World) {
    let a = session(world).await;
    let kind = Kind::EphemeralSequential;
    a.commit(&[create(&path(world, "s-"), kind), create(&path(world, "s-"), kind)]).await.unwrap();
    let mut names = a.children(world.root()).await.unwrap();
    names.sort();
    assert_eq!(names, ["s-0000000000", "s-0000000001"]);
    let stat = a.exists(&path(world, "s-0000000001")).await.unwrap().unwrap();
    assert_eq!(stat.owner, Some(a.id()));
}

pub(crate) async fn an_empty_commit_is_nothing(world: &dyn World) {
    session(world).await.commit(&[]).await.unwrap();
}

pub(crate) async fn calls_are_executed_in_their_order(world: &dyn World) {
    let a = session(world).await;
    let node = path(world, "n");
    make(&*a, &node).await;
    let sets = (0..200).map(|_| a.set(&node, b"", None));
    let stats = soon(join_all(sets)).await;
    let versions: Vec<i32> = stats.into_iter().map(|stat| stat.unwrap().version).collect();
    assert_eq!(versions, (1..=200).collect::<Vec<i32>>());
}

pub(crate) async fn a_call_that_was_dropped_is_executed_all_the_same(world: &dyn World) {
    let a = session(world).await;
    let node = path(world, "n");
    assert!(a.create(&node, b"", Kind::Persistent).now_or_never().is_none());
    assert!(a.exists(&node).await.unwrap().is_some());
}

fn create(path: &str, kind: Kind) -> Op {
    Op::Create { path: path.to_owned(), data: Vec::new(), kind }
}

fn set(path: &str, data: &[u8]) -> Op {
    Op::Set { path: path.to_owned(), data: data.to_vec(), version: None }
}

fn check(path: &str, version: Option<i32>) -> Op {
    Op::Check { path: path.to_owned(), version }
}

fn delete(path: &str, version: Option<i32>) -> Op {
    Op::Delete { path: path.to_owned(), version }
}
