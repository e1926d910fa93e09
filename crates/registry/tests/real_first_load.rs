//! A connection is cut while the first list of a large service is read: nobody is shown a part of it.

mod real;

use real::{DIR, LIMIT, Process, Truth, path, server, value};
use registry::Source;
use tokio::time::timeout;
use zk_local::Proxy;
use zk_session::{Kind, Op};

/// Instances of the service. So many are read in fifty requests.
const COUNT: usize = 5_000;

#[tokio::test]
async fn a_list_is_never_ready_in_part_and_is_whole_after_a_cut_during_its_first_load() {
    let server = server().await;
    let truth = Truth::of(&server).await;
    truth.directory().await;
    let names: Vec<_> = (0..COUNT).map(|number| format!("instance-{number:05}")).collect();
    for some in names.chunks(500) {
        let create = |name: &String| Op::Create { path: path(name), data: value(1), kind: Kind::Persistent };
        truth.session.commit(&some.iter().map(create).collect::<Vec<_>>()).await.unwrap();
    }

    // All that the server says until a follower has the list; a part of it is where the connection is cut below.
    let way = Proxy::start(server.address()).await.unwrap();
    let process = Process::calm(&way.connect_string());
    assert_eq!(timeout(LIMIT, process.follow().ready()).await.unwrap().unwrap().len(), COUNT);
    let all = way.traffic().borrow().bytes_to_client;
    process.keeper.close().await;

    for tenths in 1..10 {
        let way = Proxy::start(server.address()).await.unwrap();
        let process = Process::calm(&way.connect_string());
        process.connected(None).await;
        let discovery = process.follow();
        let (mut lists, mut views) = (discovery.instances(), discovery.view());
        let mut traffic = way.traffic();
        let part = traffic.wait_for(|now| now.bytes_to_client > all / 10 * tenths);
        let told = timeout(LIMIT, part).await.unwrap().unwrap().bytes_to_client;
        way.refuse(true);
        way.cut();
        process.cut_off().await;
        // Whatever it has of the list, it is not shown.
        assert!(
            lists.borrow().as_ref().is_none_or(|list| list.len() == COUNT),
            "{tenths} tenths, {told} bytes"
        );

        way.refuse(false);
        let first = timeout(LIMIT, lists.wait_for(Option::is_some)).await.unwrap().unwrap().clone().unwrap();
        assert_eq!(first.len(), COUNT, "the first list after a cut at {tenths} tenths");
        let whole = |view: &registry::View| view.source == Source::Live && view.entries.len() == COUNT;
        timeout(LIMIT, views.wait_for(|view| view.as_ref().is_some_and(whole))).await.unwrap().unwrap();
        process.keeper.close().await;
    }
    assert!(truth.session.exists(DIR).await.unwrap().is_some_and(|stat| stat.children == COUNT));
}
