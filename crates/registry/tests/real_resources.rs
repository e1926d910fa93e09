//! Faults leave nothing behind in the process: no descriptors, no tasks, no memory, and no work while nothing happens.

use std::fs;
use std::time::Duration;

use proto::{InstanceId, NodeData, ServiceName};
use registry::{Native, Registry, Source};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use zk_local::{Proxy, Server};
use zk_session::{Keeper, State, ZooKeeper};

const LIMIT: Duration = Duration::from_secs(60);
const INSTANCES: usize = 20;

#[derive(Clone, Copy, Debug)]
struct Used {
    descriptors: usize,
    tasks: usize,
    rss_pages: usize,
}

fn used() -> Used {
    let statm = fs::read_to_string("/proc/self/statm").expect("on Linux");
    Used {
        descriptors: fs::read_dir("/proc/self/fd").expect("on Linux").count(),
        tasks: Handle::current().metrics().num_alive_tasks(),
        rss_pages: statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("on Linux"),
    }
}

/// What is used when nothing begins and nothing ends any more.
async fn used_at_rest() -> Used {
    let mut last = used();
    let mut same = 0;
    while same < 20 {
        sleep(Duration::from_millis(25)).await;
        let now = used();
        same = if (now.tasks, now.descriptors) == (last.tasks, last.descriptors) { same + 1 } else { 0 };
        last = now;
    }
    last
}

/// Processor time of this process up to now, in ticks of 10 ms.
fn cpu_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("on Linux");
    let after_name = stat.rsplit(')').next().expect("a name in brackets");
    let fields: Vec<u64> =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    fields.iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_lost_connections_leave_nothing_behind_and_idling_costs_nothing() {
    let server = Server::builder().tick(Duration::from_millis(200)).start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let builder = ZooKeeper::builder(&proxy.connect_string()).session_timeout(Duration::from_secs(10));
    let keeper = Keeper::start(builder.build().unwrap());
    let registry = Registry::new(keeper.sessions(), Native::default());
    let service = ServiceName::parse("time").unwrap();
    let data = || NodeData::at("127.0.0.1:8897".parse().expect("an address"));
    let id = |i: usize| InstanceId::parse(&format!("n{i}")).expect("a name");
    let all: Vec<_> =
        (0..INSTANCES).map(|i| registry.announce_as(&service, id(i), data()).unwrap()).collect();
    let discovery = registry.follow(&service);

    let whole = || async {
        // What was true of the last connection is not asked for: everything runs on the next one first.
        let mut states = keeper.sessions().state();
        let connected = states.wait_for(|now| matches!(now, State::Connected { .. }));
        timeout(LIMIT, connected).await.expect("connected in time").expect("kept");
        for registration in &all {
            timeout(LIMIT, registration.registered()).await.expect("registered in time").unwrap();
        }
        let mut views = discovery.view();
        let whole = |view: &Option<registry::View>| {
            view.as_ref().is_some_and(|view| view.entries.len() == INSTANCES && view.source == Source::Live)
        };
        timeout(LIMIT, views.wait_for(whole)).await.expect("live in time").expect("kept");
    };
    let lose_connections = |times: usize| {
        let (states, proxy, whole) = (keeper.sessions().state(), &proxy, &whole);
        async move {
            for _ in 0..times {
                let mut states = states.clone();
                proxy.cut();
                let lost = states.wait_for(|now| !matches!(now, State::Connected { .. }));
                timeout(LIMIT, lost).await.expect("lost in time").expect("kept");
                whole().await;
            }
        }
    };

    whole().await;
    // What is allocated once is not counted.
    lose_connections(10).await;
    let before = timeout(LIMIT, used_at_rest()).await.expect("at rest in time");
    lose_connections(60).await;
    let after = timeout(LIMIT, used_at_rest()).await.expect("at rest in time");
    assert_eq!(
        (after.tasks, after.descriptors),
        (before.tasks, before.descriptors),
        "{before:?} became {after:?}"
    );
    assert!(after.rss_pages * 100 <= before.rss_pages * 110, "{before:?} became {after:?}");

    let ticks = cpu_ticks();
    let idle = Duration::from_secs(5);
    sleep(idle).await;
    let used = cpu_ticks() - ticks;
    eprintln!("{used} ticks of 10 ms in {idle:?}");
    // One is enough, on a machine that has nothing else to do; a loop that does not wait takes all of them.
    assert!(used <= 50, "{used} ticks of 10 ms in {idle:?}");
    keeper.close().await;
}
