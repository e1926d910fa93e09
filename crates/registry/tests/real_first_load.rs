//! A connection is cut while the first list of a large service is read: nobody is shown a part of it.

mod real;

use real::{DIR, LIMIT, Process, Truth, path, server, value};
use registry::{Instances, Source};
use tokio::sync::watch;
use tokio::time::timeout;
use zk_local::Proxy;
use zk_session::{Kind, Op};

/// Instances of the service, and the requests in which so many are read.
const COUNT: usize = 5_000;
const READS: u64 = 50;

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

    // All that the server answers until a follower has the list; a part of it is where the connection is cut below.
    let way = Proxy::start(server.address()).await.unwrap();
    let process = Process::calm(&way.connect_string());
    assert_eq!(timeout(LIMIT, process.follow().ready()).await.unwrap().unwrap().len(), COUNT);
    let all = way.traffic().borrow().answers;
    process.keeper.close().await;
    assert!(all >= READS, "{all} answers");

    for tenths in 1..=10 {
        // Never the last read. What comes after these answers is held back, so none of it arrives however late we look.
        let passing = all - READS + READS / 10 * tenths - 1;
        let way = Proxy::start(server.address()).await.unwrap();
        way.stall_after(passing);
        let process = Process::calm(&way.connect_string());
        let discovery = process.follow();
        let (lists, mut views) = (discovery.instances(), discovery.view());
        let in_part = tokio::spawn(in_part(lists.clone()));
        timeout(LIMIT, way.traffic().wait_for(|now| now.stalls == 1)).await.unwrap().unwrap();
        process.connected(None).await;
        way.refuse(true);
        way.cut();
        way.flow();
        process.cut_off().await;
        // Whatever it has of the list, it is not shown.
        assert!(lists.borrow().is_none(), "{tenths} tenths, {passing} answers of {all}");

        way.refuse(false);
        let whole = |view: &registry::View| view.source == Source::Live && view.entries.len() == COUNT;
        timeout(LIMIT, views.wait_for(|view| view.as_ref().is_some_and(whole))).await.unwrap().unwrap();
        drop(discovery);
        assert_eq!(in_part.await.unwrap(), 0, "lists in part after a cut at {tenths} tenths");
        process.keeper.close().await;
    }
    assert!(truth.session.exists(DIR).await.unwrap().is_some_and(|stat| stat.children == COUNT));
}

/// How many lists are shown that are not whole, until no more come.
async fn in_part(mut lists: watch::Receiver<Option<Instances>>) -> usize {
    let mut in_part = 0;
    while lists.changed().await.is_ok() {
        in_part += usize::from(lists.borrow_and_update().as_ref().is_some_and(|list| list.len() != COUNT));
    }
    in_part
}
