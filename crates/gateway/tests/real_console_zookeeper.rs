//! The console in a real browser, on a real ZooKeeper: what the fake server of the other tests does is what this one does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;

use std::sync::Arc;
use std::time::Duration;

use browser::{Page, Served, browse, row};
use gateway::{App, Fleet, Guard, fleet};
use leader::Election;
use proto::{Address, NodeData, Root, ServiceName};
use registry::{Native, Registry};
use serde_json::json;
use tokio::time::timeout;
use zk_local::Server;
use zk_session::{Keeper, ZooKeeper};

/// So long that a busy machine loses no session by it.
const CALM: Duration = Duration::from_secs(30);

fn data(port: u16, weight: u32) -> NodeData {
    NodeData::at(Address::new("127.0.0.1", port).unwrap()).with_weight(weight)
}

/// A process of its own, as far as ZooKeeper can tell.
fn process(server: &Server) -> (Keeper, Registry, Election) {
    let connect = ZooKeeper::builder(&server.connect_string()).session_timeout(CALM);
    let keeper = Keeper::start(connect.build().unwrap());
    let registry = Registry::new(keeper.sessions(), Native::default());
    let election = Election::new(keeper.sessions(), Root::default());
    (keeper, registry, election)
}

/// What stands in a column of an instance.
async fn cell(page: &Page, id: &str, column: &str, text: &str) {
    let place = format!("{}?.querySelector('.{column}').textContent", row(id));
    page.until(&format!("{place} === {}", json!(text))).await;
}

#[tokio::test]
async fn a_fleet_on_a_real_zookeeper_is_seen_changed_and_seen_through_an_outage() {
    let server = Server::start().await.unwrap();
    let service = ServiceName::parse("time").unwrap();
    let (theirs, registry, election) = process(&server);
    let first = registry.announce(&service, data(1, 3)).unwrap();
    timeout(browser::PATIENCE, first.registered()).await.unwrap().unwrap();
    let candidate = election.campaign(&service, data(1, 3)).unwrap();
    let leadership = timeout(browser::PATIENCE, candidate.elected()).await.unwrap().unwrap();

    let (ours, followed, elections) = process(&server);
    let app = App::new(Fleet::start(followed, Some(elections), [], fleet::Options::default()));
    let served = Served::start(&app, Guard::default()).await;
    browse(served.address, "", async |page| {
        page.says("#services-source", "live").await;
        page.says("#services-list li:first-child", "time1").await;
        page.click("#services-list a[title=time]").await;
        cell(&page, "127.0.0.1:1", "weight", "3").await;
        page.says("#fact-master", "127.0.0.1:1").await;
        page.until(&format!(
            "document.getElementById('fact-term').textContent === '{}'",
            leadership.term().0
        ))
        .await;

        let second = registry.announce(&service, data(2, 1)).unwrap();
        cell(&page, "127.0.0.1:2", "share", "25.0 %").await;
        page.says("#timeline li:first-child", "127.0.0.1:2 came, with weight 1").await;
        second.set_weight(9).unwrap();
        cell(&page, "127.0.0.1:2", "weight", "9").await;

        // One that the gateway registers is drained by a person, in ZooKeeper.
        let put = json!({"server_ip": "127.0.0.1", "server_port": 3, "ttl": 600});
        let asked = format!(
            "const asked = await fetch('v1/services/time/instances/ours', {{ method: 'PUT', headers: {{ 'content-type': 'application/json' }}, \
             body: {} }}); return asked.status;",
            json!(put.to_string())
        );
        assert_eq!(page.run(&asked).await, 201);
        page.until(&row("ours")).await;
        page.run(&format!("{}.click()", row("ours"))).await;
        page.until("document.getElementById('instance').open").await;
        page.says("#instance-body", "this gateway").await;
        page.click("#instance-actions button:nth-child(1)").await;
        page.click("#confirm-yes").await;
        page.says("#instance-body", "0: drained").await;
        let discovery = registry.follow(&service);
        let mut lists = discovery.instances();
        let drained = lists.wait_for(|list| {
            let ours = list.as_ref().and_then(|list| list.iter().find(|one| one.id.as_str() == "ours"));
            ours.is_some_and(|ours: &Arc<_>| ours.data.weight == 0)
        });
        drop(timeout(browser::PATIENCE, drained).await.unwrap().unwrap());
        page.run("document.getElementById('instance').close()").await;

        second.withdraw().await;
        page.until(&format!("!{}", row("127.0.0.1:2"))).await;
        page.says("#timeline", "127.0.0.1:2 went").await;

        server.stop().await.unwrap();
        page.says("#service-source", "stale since").await;
        cell(&page, "127.0.0.1:1", "weight", "3").await;
        server.start_again().await.unwrap();
        page.says("#service-source", "live").await;
        cell(&page, "127.0.0.1:1", "weight", "3").await;
        assert_eq!(page.value(&format!("Boolean({})", row("ours"))).await, true);
    })
    .await;
    served.stop().await;
    assert_eq!(app.leases().close(browser::PATIENCE).await, 0);
    drop((leadership, candidate, first));
    for keeper in [ours, theirs] {
        timeout(browser::PATIENCE, keeper.close()).await.unwrap();
    }
}
