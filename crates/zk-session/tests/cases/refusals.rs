//! What is refused before anything is sent.

use zk_session::{Error, Kind, MAX_COMMIT_BYTES, MAX_DATA, MAX_OPS, Op, What};

use super::{World, changes, make, path, session};

pub(crate) async fn paths_that_servers_refuse_are_invalid(world: &dyn World) {
    let a = session(world).await;
    let root = world.root();
    let below = [
        "",
        "//x",
        "/.",
        "/..",
        "/../x",
        "/./x",
        "/x/",
        "/x//y",
        "/\0",
        "/a\u{1}",
        "/\u{7f}",
        "/\u{f000}",
        "/\u{fffe}",
    ];
    let mut bad: Vec<String> = below.iter().skip(1).map(|name| format!("{root}{name}")).collect();
    bad.extend(["", "x", "x/y", "//"].map(str::to_owned));
    for bad in bad {
        let answers = [
            a.create(&bad, b"", Kind::Persistent).await.err(),
            a.set(&bad, b"", None).await.err(),
            a.delete(&bad, None).await.err(),
            a.get(&bad).await.err(),
            a.exists(&bad).await.err(),
            a.children(&bad).await.err(),
            a.get_many(std::slice::from_ref(&bad)).await.unwrap().remove(0).err(),
            a.commit(&[Op::Check { path: bad.clone(), version: None }]).await.err(),
            a.watch_node(&bad).await.err(),
            a.watch_tree(&bad).await.err(),
            a.sync(&bad).await.err(),
        ];
        for (n, answer) in answers.into_iter().enumerate() {
            assert!(matches!(answer, Some(Error::Invalid(_))), "call {n} of {bad:?} gave {answer:?}");
        }
    }
    // Nothing of it reached the server, which would have dropped the connection or said something else.
    assert!(a.exists(root).await.unwrap().is_some());
}

pub(crate) async fn a_path_that_is_too_long_to_be_sent_hides_no_other(world: &dyn World) {
    let a = session(world).await;
    let mut seen = a.watch_tree(world.root()).await.unwrap();
    let (long, there, absent) = (path(world, &"x".repeat(4095)), path(world, "n"), path(world, "absent"));
    world.make_long(&"x".repeat(4095)).await;
    assert_eq!(changes(&mut seen, 1).await, [(What::Created, long.clone())]);
    make(&*a, &there).await;
    let mut names = a.children(world.root()).await.unwrap();
    names.sort();
    assert_eq!(names, ["n".to_owned(), "x".repeat(4095)]);

    let paths = [&long, &there, &long, &absent, &long].map(String::clone);
    let answers = a.get_many(&paths).await.unwrap();
    let is_invalid = |answer: &Result<_, Error>| matches!(answer, Err(Error::Invalid(_)));
    assert_eq!(answers.iter().map(is_invalid).collect::<Vec<_>>(), [true, false, true, false, true]);
    assert!(answers[1].as_ref().unwrap().is_some() && answers[3].as_ref().unwrap().is_none());
    assert!(a.get_many(std::slice::from_ref(&long)).await.unwrap().iter().all(is_invalid));
    assert!(matches!(a.get(&long).await, Err(Error::Invalid(_))));
}

pub(crate) async fn the_root_can_be_neither_made_nor_deleted(world: &dyn World) {
    let a = session(world).await;
    let create = Op::Create { path: "/".to_owned(), data: Vec::new(), kind: Kind::Persistent };
    let delete = Op::Delete { path: "/".to_owned(), version: None };
    let answers = [
        a.create("/", b"", Kind::Persistent).await.err(),
        a.delete("/", None).await.err(),
        a.commit(&[create]).await.err(),
        a.commit(&[delete]).await.err(),
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        assert!(matches!(answer, Some(Error::Invalid(_))), "call {n} gave {answer:?}");
    }
}

pub(crate) async fn data_over_the_limit_is_invalid(world: &dyn World) {
    let a = session(world).await;
    let node = path(world, "n");
    let (most, more) = (vec![7; MAX_DATA], vec![7; MAX_DATA + 1]);
    assert!(matches!(a.create(&node, &more, Kind::Persistent).await, Err(Error::Invalid(_))));
    make(&*a, &node).await;
    assert!(matches!(a.set(&node, &more, None).await, Err(Error::Invalid(_))));
    let op = Op::Set { path: node.clone(), data: more, version: None };
    assert!(matches!(a.commit(&[op]).await, Err(Error::Invalid(_))));
    a.set(&node, &most, Some(0)).await.unwrap();
    assert_eq!(a.get(&node).await.unwrap().unwrap().data, most);
}

pub(crate) async fn a_commit_over_a_limit_is_invalid(world: &dyn World) {
    let a = session(world).await;
    let set = |data: Vec<u8>| Op::Set { path: world.root().to_owned(), data, version: None };
    let small = |count: usize| vec![set(Vec::new()); count];
    a.commit(&small(MAX_OPS)).await.unwrap();
    assert!(matches!(a.commit(&small(MAX_OPS + 1)).await, Err(Error::Invalid(_))));

    // As many bytes as are allowed, then one more.
    let one = MAX_DATA / 2;
    let mut ops = vec![set(vec![1; one - world.root().len()]); MAX_COMMIT_BYTES / one];
    a.commit(&ops).await.unwrap();
    ops[0] = set(vec![1; one - world.root().len() + 1]);
    assert!(matches!(a.commit(&ops).await, Err(Error::Invalid(_))));
}
