//! Sessions on real servers: what is asked of them, where, and by whom.

mod real;

use futures::future::join_all;
use real::{ENDLESS, connected, options, server, soon, zookeeper};
use zk_local::Server;
use zk_session::{Acl, Change, Error, Keeper, Kind, Name, Op, Presence, Reader, Spec, Status, What};

#[tokio::test]
async fn requests_are_executed_in_the_order_of_the_calls() {
    // More than may be under way at once, which a busy machine answers when it comes to it.
    const MANY: usize = 3_000;
    let server = server().await;
    let zookeeper = options(server.connect_string()).session_timeout(ENDLESS).build().unwrap();
    let session = connected(&zookeeper).await;
    let many = (0..MANY).map(|_| session.create("/s-", b"", Kind::EphemeralSequential));
    let created: Vec<_> =
        soon(join_all(many)).await.into_iter().map(|created| created.unwrap().path).collect();
    assert!(created.is_sorted());
    assert_eq!((created[0].as_str(), created.len()), ("/s-0000000000", MANY));
}

#[tokio::test]
async fn a_chroot_is_where_every_path_begins() {
    let server = Server::start().await.unwrap();
    let whole = zookeeper(server.connect_string());
    let whole = connected(&whole).await;
    let part = zookeeper(format!("{}/app/one", server.connect_string()));
    let session = connected(&part).await;
    assert_eq!((whole.chroot(), session.chroot()), ("/", "/app/one"));
    let refused = session.create("/a", b"", Kind::Ephemeral).await;
    assert!(matches!(refused, Err(Error::NoNode)), "its own node is not made");

    for path in ["/app", "/app/one"] {
        whole.create(path, b"", Kind::Persistent).await.unwrap();
    }
    let mut tree = session.watch_tree("/").await.unwrap();
    let created = session.create("/s-", b"", Kind::EphemeralSequential).await.unwrap();
    assert_eq!(created.path, "/s-0000000000");
    assert!(whole.exists("/app/one/s-0000000000").await.unwrap().is_some());
    assert_eq!(session.children("/").await.unwrap(), ["s-0000000000"]);
    assert_eq!(soon(tree.next()).await, Some(Change { path: created.path, what: What::Created }));
}

#[tokio::test]
async fn a_chroot_that_is_not_there_is_told_to_who_wants_a_node_at_its_top() {
    let server = Server::start().await.unwrap();
    let whole = zookeeper(server.connect_string());
    let whole = connected(&whole).await;
    let keeper = Keeper::start(zookeeper(format!("{}/app", server.connect_string())));
    let spec = Spec {
        directory: "/".to_owned(),
        name: Name::Own("one".to_owned()),
        data: Vec::new(),
        parents: Kind::Container,
    };
    let presence = Presence::hold(keeper.sessions(), spec).unwrap();
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { what }) } if what.contains("the chroot /app "));
    soon(presence.status().wait_for(told)).await.unwrap();
    whole.create("/app", b"", Kind::Persistent).await.unwrap();
    soon(presence.status().wait_for(|now| matches!(now, Status::Held(_)))).await.unwrap();
    assert!(whole.exists("/app/one").await.unwrap().is_some());
    soon(keeper.close()).await;
}

#[tokio::test]
async fn another_identity_may_read_and_is_told_what_else_it_may_not_do() {
    let server = Server::start().await.unwrap();
    let as_user =
        |user, acl| options(server.connect_string()).digest(user, "secret").acl(acl).build().unwrap();
    let alice = as_user("alice", Acl::Creator { readers: Some(Reader::Anyone) });
    let bob = as_user("bob", Acl::Open);
    let nobody = zookeeper(server.connect_string());
    let alices = connected(&alice).await;
    alices.create("/d", b"", Kind::Container).await.unwrap();
    let child = Op::Create { path: "/d/x".to_owned(), data: b"1".to_vec(), kind: Kind::Ephemeral };
    alices.commit(&[child]).await.unwrap();

    let rejection = |result: Result<(), Error>| match result {
        Err(Error::Rejected { what }) => what,
        Err(Error::Aborted { index: 0, source }) => source.to_string(),
        other => panic!("{other:?}"),
    };
    for other in [&bob, &nobody] {
        let others = connected(other).await;
        assert_eq!(others.get("/d/x").await.unwrap().unwrap().data, b"1");
        assert_eq!(others.children("/d").await.unwrap(), ["x"]);
        assert!(others.watch_node("/d/x").await.is_ok());
        assert!(others.watch_tree("/d").await.is_ok());
        let create = others.create("/d/y", b"", Kind::Ephemeral).await;
        assert_eq!(rejection(create.map(drop)), "not authorized to create /d/y");
        assert_eq!(rejection(others.set("/d/x", b"", None).await.map(drop)), "not authorized to write /d/x");
        assert_eq!(rejection(others.delete("/d/x", None).await), "not authorized to delete /d/x");
        let commit = [Op::Delete { path: "/d/x".to_owned(), version: None }];
        assert!(rejection(others.commit(&commit).await).contains("not authorized to delete /d/x"));
        assert!(others.get("/d/x").await.is_ok(), "a refusal does not end the connection");
    }
    alices.set("/d/x", b"2", None).await.unwrap();
}

#[tokio::test]
async fn a_node_that_may_not_be_read_hides_no_other() {
    let server = Server::start().await.unwrap();
    let alice =
        options(server.connect_string()).digest("alice", "secret").acl(Acl::Creator { readers: None });
    let alice = alice.build().unwrap();
    connected(&alice).await.create("/closed", b"", Kind::Ephemeral).await.unwrap();
    let bob = zookeeper(server.connect_string());
    let session = connected(&bob).await;
    session.create("/open", b"1", Kind::Ephemeral).await.unwrap();

    let paths: Vec<_> = (0..250).flat_map(|_| ["/open", "/closed", "/absent"]).map(str::to_owned).collect();
    let nodes = soon(session.get_many(&paths)).await.unwrap();
    assert_eq!(nodes.len(), paths.len());
    for nodes in nodes.chunks(3) {
        assert_eq!(nodes[0].as_ref().unwrap().as_ref().unwrap().data, b"1");
        assert!(
            matches!(&nodes[1], Err(Error::Rejected { what }) if what == "not authorized to read /closed")
        );
        assert!(matches!(nodes[2], Ok(None)));
    }
    assert!(matches!(session.get("/closed").await, Err(Error::Rejected { .. })));
    assert!(matches!(session.watch_node("/closed").await, Err(Error::Rejected { .. })));
    assert!(session.get_many(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_harms_nobody() {
    let server = Server::start().await.unwrap();
    let zookeeper = zookeeper(server.connect_string());
    let session = connected(&zookeeper).await;
    let large = vec![0; zk_session::MAX_DATA + 1];
    assert!(matches!(session.create("/a", &large, Kind::Ephemeral).await, Err(Error::Invalid(_))));
    assert!(matches!(session.create("/a//b", b"", Kind::Ephemeral).await, Err(Error::Invalid(_))));
    let fitting = |i| Op::Create { path: format!("/{i}"), data: vec![0; 60_000], kind: Kind::Ephemeral };
    assert!(matches!(session.commit(&(0..9).map(fitting).collect::<Vec<_>>()).await, Err(Error::Invalid(_))));
    session.commit(&(0..8).map(fitting).collect::<Vec<_>>()).await.unwrap();
    session.create("/a", &large[1..], Kind::Ephemeral).await.unwrap();
    assert_eq!(session.get("/a").await.unwrap().unwrap().data.len(), zk_session::MAX_DATA);
}

#[tokio::test]
async fn a_directory_that_is_left_and_used_again_is_watched_again() {
    let server = server().await;
    let witness = zookeeper(server.connect_string());
    let witness = connected(&witness).await;
    let keeper = Keeper::start(zookeeper(server.connect_string()));
    let spec = |number: usize| Spec {
        directory: "/left".to_owned(),
        name: Name::Own(format!("n{number}")),
        data: Vec::new(),
        parents: Kind::Container,
    };
    for round in 0..10 {
        let all = Presence::hold_all(&keeper.sessions(), (0..20).map(spec).collect()).unwrap();
        for one in &all {
            soon(one.status().wait_for(|now| matches!(now, Status::Held(_)))).await.unwrap();
        }
        let path = format!("/left/n{round}");
        witness.delete(&path, None).await.unwrap();
        // It is restored, which needs the watch.
        while let (None, changed) = witness.watch_node(&path).await.unwrap() {
            soon(changed).await;
        }
        soon(join_all(all.into_iter().map(Presence::withdraw))).await;
    }
    soon(keeper.close()).await;
}
