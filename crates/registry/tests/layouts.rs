//! Where instances are: side by side with programs of other kinds, and never outside their directory.

mod common;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Process, T, at, data, id, lists, others, path, registered, time};
use proto::{Dir, InstanceId, NodeData, Root, ServiceName};
use registry::{Error, Flat, MasterNormal, Native, Roles};
use tokio::time::timeout;
use zk_session::fake::FakeZk;

fn services(names: &[&str]) -> Vec<ServiceName> {
    names.iter().map(|name| name.parse().expect("a name")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_go_program_and_ours_find_each_other_in_the_flat_layout() {
    let zk = FakeZk::default();
    let process = Process::with_layout(&zk, Flat::default());
    let discovery = process.registry.follow(&time());
    let registration = process.registry.announce(&time(), at(8897)).unwrap();
    registered(&registration).await;

    // What the Go program lists and what it makes.
    assert_eq!(zk.children("/go_servers"), ["127.0.0.1:8897"]);
    let node = zk.get("/go_servers/127.0.0.1:8897").unwrap();
    assert!(node.data.is_empty() && node.stat.owner == Some(process.session()));
    zk.reap_containers();
    zk.put_ephemeral("/go_servers/[::1]:80", "whatever", zk.stranger());
    zk.put_ephemeral("/go_servers/master", "", zk.stranger());

    let list = lists(&discovery, &["127.0.0.1:8897", "[::1]:80"]).await;
    assert_eq!(list[0].data, at(8897));
    assert_eq!(list[1].data, NodeData::at("[::1]:80".parse().unwrap()));
    let bad = discovery.view().borrow().as_ref().unwrap().bad.clone();
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].path, "/go_servers/master");

    // Its parents stay when all is gone, as those programs expect.
    registration.withdraw().await;
    zk.remove("/go_servers/[::1]:80");
    zk.remove("/go_servers/master");
    zk.reap_containers();
    assert!(zk.get("/go_servers").is_some());
    lists(&discovery, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_flat_layout_cannot_store_is_refused_and_changes_nothing() {
    let zk = FakeZk::default();
    let process = Process::with_layout(&zk, Flat::default());
    let registry = &process.registry;
    for (id, data, says) in [
        ("127.0.0.1:80", at(80).with_weight(2), "cannot store weight 2"),
        ("127.0.0.1:80", at(80).with_code("c"), "cannot store the server_unique_code"),
        ("127.0.0.1:80", at(80).with_metadata("k", "v"), "cannot store the metadata"),
        ("c", NodeData::behind_broker("c"), "has no address"),
        ("a", at(80), "the id is the address"),
    ] {
        let refused = registry.announce_as(&time(), common::id(id), data);
        let Err(Error::Invalid(what)) = refused else { panic!("{refused:?}") };
        assert!(what.contains(says), "{what}");
    }
    let registration = registry.announce(&time(), at(80)).unwrap();
    registered(&registration).await;
    let before = registration.data();
    tokio::time::sleep(T).await;
    zk.reset_requests();
    for (refused, says) in [
        (registration.drain(), "cannot store weight 0"),
        (registration.set_weight(5), "cannot store weight 5"),
        (registration.update(|data| data.address = at(81).address), "announce another address"),
        (registration.update(|data| data.metadata = [("k", "v")].into()), "cannot store the metadata"),
    ] {
        let Err(Error::Invalid(what)) = refused else { panic!("{refused:?}") };
        assert!(what.contains(says), "{what}");
    }
    registration.set_weight(1).expect("it is 1 already");
    tokio::time::sleep(T).await;
    assert_eq!(zk.requests().total(), 0);
    assert_eq!(registration.data(), before);
}

/// Where the log of a test goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_flat_node_that_no_session_owns_is_reported_once_and_hidden_on_demand() {
    for (hide_ownerless, expected) in [(false, &["h:1", "h:2"][..]), (true, &["h:2"])] {
        let log = Log::default();
        let writer = log.clone();
        let _logged = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .set_default_for_test();
        let zk = FakeZk::default();
        zk.put("/go_servers/h:1", "");
        zk.put_ephemeral("/go_servers/h:2", "", zk.stranger());
        let process = Process::with_layout(&zk, Flat { hide_ownerless, ..Flat::default() });
        let discovery = process.registry.follow(&time());
        lists(&discovery, expected).await;
        for _ in 0..3 {
            zk.disconnect(process.session());
            common::shows(&discovery, false, expected).await;
            common::shows(&discovery, true, expected).await;
        }
        assert!(discovery.view().borrow().as_ref().unwrap().bad.is_empty(), "it is not bad");
        let log = String::from_utf8(log.0.lock().expect("nobody panicked").clone()).unwrap();
        assert_eq!(log.matches("no session owns").count(), 1, "{log}");
    }
}

trait SetDefault {
    fn set_default_for_test(self) -> tracing::subscriber::DefaultGuard;
}

impl<S: tracing_subscriber::util::SubscriberInitExt> SetDefault for S {
    fn set_default_for_test(self) -> tracing::subscriber::DefaultGuard {
        self.set_default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_flat_directory_may_be_the_top_of_the_tree() {
    let zk = FakeZk::default();
    let dir = Dir::parse("/").unwrap();
    let process = Process::with_layout(&zk, Flat { dir, ..Flat::default() });
    let registration = process.registry.announce(&time(), at(80)).unwrap();
    registered(&registration).await;
    assert_eq!(registration.path(), "/127.0.0.1:80");
    assert_eq!(zk.owner("/127.0.0.1:80"), Some(process.session()));
    let discovery = process.registry.follow(&time());
    lists(&discovery, &["127.0.0.1:80"]).await;
    assert!(process.registry.services().await.unwrap().is_empty(), "the top has no name");
}

#[tokio::test(start_paused = true)]
async fn services_are_listed_in_order_whatever_is_in_them() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    assert!(process.registry.services().await.unwrap().is_empty(), "there is no root yet");
    assert_eq!(zk.requests().syncs, 1, "a server that lags behind must catch up first");
    zk.put("/headkeeper/b/instances/x", "");
    zk.put("/headkeeper/a/election", "");
    zk.put("/headkeeper/c", "");
    zk.put(&format!("/headkeeper/{}", "x".repeat(300)), "");
    zk.put("/headkeeper/zookeeper", "");
    assert_eq!(process.registry.services().await.unwrap(), services(&["a", "b", "c"]));

    // It waits for a connection, and goes on with the next.
    process.client.set_reachable(false);
    assert!(timeout(T, process.registry.services()).await.is_err());
    let (listed, ()) = tokio::join!(process.registry.services(), async {
        tokio::time::sleep(T).await;
        process.client.set_reachable(true);
    });
    assert_eq!(listed.unwrap(), services(&["a", "b", "c"]));

    zk.refuse_reads("/headkeeper", true);
    let refused = timeout(Duration::from_secs(1), process.registry.services()).await.expect("at once");
    assert!(matches!(refused, Err(Error::ZooKeeper(zk_session::Error::Rejected { .. }))));

    let registry = process.registry.clone();
    process.keeper.close().await;
    assert!(matches!(registry.services().await, Err(Error::Closed)));
}

#[tokio::test(start_paused = true)]
async fn the_flat_layout_has_one_service_called_as_its_directory() {
    let zk = FakeZk::default();
    let process = Process::with_layout(&zk, Flat::default());
    assert!(process.registry.services().await.unwrap().is_empty());
    zk.put("/go_servers", "");
    assert_eq!(process.registry.services().await.unwrap(), services(&["go_servers"]));
}

#[tokio::test(start_paused = true)]
async fn hostile_names_are_refused_and_strange_ones_stay_inside() {
    let long = "x".repeat(5_000);
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let hostile = ["", ".", "..", "../x", "/", "a/b", "a\0", "a\u{9f}", "a\u{fffe}", "zookeeper", &long];
    for name in hostile {
        let error = ServiceName::parse(name).expect_err("a service").to_string();
        assert!(error.contains("accepted: "), "{error}");
        let error = InstanceId::parse(name).expect_err("an id").to_string();
        assert!(error.contains("accepted: "), "{error}");
        assert!(name == "a/b" || Root::parse(&format!("/{name}/services")).is_err(), "{name:?}");
        // The default id is where a name comes in through data.
        let refused = process.registry.announce(&time(), NodeData::behind_broker(name));
        assert!(matches!(refused, Err(Error::Invalid(_))), "{name:?}: {refused:?}");
    }
    tokio::time::sleep(T).await;
    assert_eq!(zk.requests().total(), 0);

    let mut all = Vec::new();
    let strange =
        ["...", "..a", " ", "%2F", "\\", "ä", "instances", "election", "headkeeper", "a-0000000001"];
    for service in strange {
        let service = ServiceName::parse(service).expect("a name");
        for name in strange {
            let registration = process.registry.announce_as(&service, id(name), data(1)).expect(name);
            registered(&registration).await;
            all.push(registration);
        }
    }
    assert_eq!(zk.children("/"), ["headkeeper", "zookeeper"]);
    let mut sorted = strange;
    sorted.sort_unstable();
    assert_eq!(zk.children("/headkeeper"), sorted);
    for service in strange {
        let dir = format!("/headkeeper/{service}");
        assert_eq!(zk.children(&dir), ["instances"]);
        assert_eq!(zk.children(&format!("{dir}/instances")), sorted);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_layout_accepts_it_reads_back() {
    let zk = FakeZk::default();
    others(&zk, &["a"]);
    let layouts: [Arc<dyn registry::Layout>; 2] = [Arc::new(Native::default()), Arc::new(Flat::default())];
    let stat = zk.get(&path("a")).unwrap().stat;
    for layout in layouts {
        let node = layout.node(&id("127.0.0.1:80"), &at(80)).unwrap();
        let read = layout.read(&node.name, &zk_session::Node { data: node.value, stat }).unwrap().unwrap();
        assert_eq!((read.id, read.data), (id("127.0.0.1:80"), at(80)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_master_and_normal_ones_of_old_programs_are_found_and_told_apart() {
    let zk = FakeZk::default();
    let root = Root::parse("/micro-service").unwrap();
    let process = Process::with_layout(&zk, MasterNormal { root: root.clone(), reveal_credentials: false });
    let discovery = process.registry.follow(&time());
    let put = |name: &str, port: u16, code: &str| {
        let value = format!(
            r#"{{"serverip":"127.0.0.1","serverport":{port},"username":"u","userpwd":"hunter2","serveruniquecode":"{code}","weight":3}}"#
        );
        zk.put_ephemeral(&format!("/micro-service/time/{name}"), value, zk.stranger());
    };
    put("master", 50001, "a");
    put("normal0000000001", 50002, "b");
    // What cannot be read is reported, without what may be a password, and harms nobody else.
    zk.put_ephemeral("/micro-service/time/normal0000000002", r#"{"userpwd":{"a":"hunter2"}}"#, zk.stranger());
    let list = lists(&discovery, &["master", "normal0000000001"]).await;
    assert_eq!(list[1].data.address, Some("127.0.0.1:50002".parse().unwrap()));
    assert_eq!((list[1].data.weight, list[1].data.unique_code.as_deref()), (3, Some("b")));
    assert!(list.iter().all(|instance| instance.data.metadata.is_empty()));
    let stat = zk.get("/micro-service/time/master").unwrap().stat;
    assert_eq!(list[0].data.registered_at, stat.created_at);
    let bad = discovery.view().borrow().as_ref().unwrap().bad.clone();
    assert_eq!(
        bad.iter().map(|bad| &*bad.path).collect::<Vec<_>>(),
        ["/micro-service/time/normal0000000002"]
    );
    assert!(!format!("{list:?} {bad:?}").contains("hunter"));

    // One that was promoted has both nodes for a moment.
    zk.remove("/micro-service/time/master");
    put("master", 50002, "b");
    let promoted = |list: &Option<registry::Instances>| {
        let roles = Roles::of(list.iter().flatten());
        roles.normal.is_empty()
            && roles.master.is_some_and(|master| master.data.unique_code.as_deref() == Some("b"))
    };
    let mut now = discovery.instances();
    timeout(T * 5, now.wait_for(promoted)).await.expect("it is the master alone").unwrap();

    let revealing = MasterNormal { root, reveal_credentials: true };
    let other = Process::with_layout(&zk, revealing);
    let list = lists(&other.registry.follow(&time()), &["master", "normal0000000001"]).await;
    assert_eq!((&list[0].data.metadata["username"], &list[0].data.metadata["userpwd"]), ("u", "hunter2"));
    assert_eq!(process.registry.services().await.unwrap(), services(&["time"]));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_announced_in_the_master_normal_layout() {
    let zk = FakeZk::default();
    let process = Process::with_layout(&zk, MasterNormal::default());
    let error = process.registry.announce(&time(), at(80)).unwrap_err();
    assert!(matches!(error, Error::Invalid(what) if what.contains("standing for election")));
    assert_eq!(zk.requests().creates, 0);
}
