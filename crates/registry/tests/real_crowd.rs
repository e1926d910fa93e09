//! Many instances, and many clients, on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod real;

use std::time::Duration;

use real::{LIMIT, Process, T, at, registered, server, shows, time, until};
use registry::{Instances, Source, View};
use tokio::time::{Instant, sleep, timeout};
use zk_local::Proxy;
use zk_session::State;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_are_loaded_and_a_change_is_known_for_at_most_three_requests() {
    const MANY: u16 = 5_000;
    let server = server().await;
    let provider = Process::calm(&server.connect_string());
    let all = provider.registry.announce_all(&time(), (1..=MANY).map(at)).expect("all are good");
    for registration in &all {
        timeout(LIMIT, registration.registered()).await.expect("in time").expect("registered");
    }

    let proxy = Proxy::start(server.address()).await.unwrap();
    let client = Process::calm(&proxy.connect_string());
    client.connected(None).await;
    let begin = Instant::now();
    let discovery = client.follow();
    let list = timeout(LIMIT, discovery.ready()).await.expect("in time").unwrap();
    eprintln!("{} are loaded after {:?}", list.len(), begin.elapsed());
    assert_eq!(list.len(), usize::from(MANY));

    for (weight, registration) in (100..).zip(all.iter().step_by(500)) {
        let before = proxy.traffic().borrow().bytes_to_server;
        let begin = Instant::now();
        registration.set_weight(weight).unwrap();
        let id = registration.id();
        let changed = |list: &Option<Instances>| {
            list.as_ref().is_some_and(|list| {
                let found = list.binary_search_by(|instance| instance.id.cmp(id));
                found.is_ok_and(|index| list[index].data.weight == weight)
            })
        };
        until(&mut discovery.instances(), "the change is here", changed).await;
        let (took, sent) = (begin.elapsed(), proxy.traffic().borrow().bytes_to_server - before);
        eprintln!("a change after {took:?}, for which {sent} bytes were sent");
        // One that reads this node has about 60; a ping, of which there may be some, has 12.
        assert!(sent <= 3 * 70, "{sent} bytes are more than three requests");
    }
}

/// How the clients met the server again after an outage, and how long until all of them had the truth.
async fn come_back(
    clients: &[(Process, registry::Registration, registry::Discovery)],
    proxy: &Proxy,
    outage: Duration,
) {
    proxy.refuse(true);
    proxy.cut();
    for (client, ..) in clients {
        client.cut_off().await;
    }
    sleep(outage).await;
    let returns: Vec<_> = clients
        .iter()
        .map(|(client, ..)| {
            let mut states = client.keeper.sessions().state();
            tokio::spawn(async move {
                until(&mut states, "it is back", |now| matches!(now, State::Connected { .. })).await;
                Instant::now()
            })
        })
        .collect();
    proxy.refuse(false);
    let back = Instant::now();
    for (_, registration, discovery) in clients {
        registered(registration).await;
        let whole = |view: &Option<View>| {
            view.as_ref()
                .is_some_and(|view| view.entries.len() == clients.len() && view.source == Source::Live)
        };
        until(&mut discovery.view(), "all are there", whole).await;
    }
    let converged = back.elapsed();
    let mut times = Vec::new();
    for returned in returns {
        times.push(returned.await.unwrap().duration_since(back));
    }
    times.sort();
    let window = Duration::from_millis(100);
    let within =
        |start: &Duration| times.iter().filter(|it| **it >= *start && **it < *start + window).count();
    let most = times.iter().map(within).max().unwrap();
    eprintln!(
        "after {outage:?}: at most {most} of 20 in 100 ms, all connected after {:?}, converged after {converged:?}",
        times[19]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_clients_come_back_and_all_have_the_truth() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let client = Process::start(&proxy.connect_string());
            let registration = client.announce(&format!("n{number:02}"));
            let discovery = client.follow();
            (client, registration, discovery)
        })
        .collect();
    let names: Vec<_> = (0..20).map(|number| format!("n{number:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for (.., discovery) in &clients {
        shows(discovery, true, &names).await;
    }
    for outage in [T * 3 / 2, T * 3 / 2, T * 5 / 2] {
        come_back(&clients, &proxy, outage).await;
        sleep(T).await;
    }
}
