//! The client of `registry` over HTTP, at gateways of the flat layout that call its one service differently.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod certificates;
mod serving_it;

use loadbalance::{Balancer, Request, RoundRobin};
use registry::http::{Gateways, Problem};
use registry::{Source, View};
use serving_it::{LIMIT, Served, becomes, list, time};
use tokio::time::timeout;
use zk_session::fake::FakeZk;

#[tokio::test]
async fn a_gateway_that_has_the_service_by_another_name_empties_no_list() {
    const ID: &str = "127.0.0.1:9001";
    let zk = FakeZk::default();
    zk.put_ephemeral(&format!("/go_servers/{ID}"), "", zk.stranger());
    let (ours, other) = (Served::flat(&zk, "time").await, Served::flat(&zk, "clock").await);
    // Whichever is asked first: one that says that it has another name is no reason not to ask the other one.
    let gateways = Gateways::builder(&format!("{},{}", ours.url(), other.url())).build().unwrap();
    let discovery = gateways.follow(&time());
    list(&discovery, &[ID]).await;
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());
    timeout(LIMIT, balancer.ready()).await.unwrap().unwrap();
    let mut lists = discovery.instances();
    lists.mark_unchanged();

    ours.stop().await;
    let is_refused =
        |problem: &Option<Problem>| matches!(problem, Some(Problem::Refused { status: 404, .. }));
    let refused = becomes(&mut discovery.problem(), is_refused).await.unwrap().to_string();
    assert!(refused.contains("\"time\" is not what it is called here; accepted: \"clock\""), "{refused}");
    let is_stale = |view: &Option<View>| {
        view.as_ref().is_some_and(|view| view.source != Source::Live && view.entries.len() == 1)
    };
    becomes(&mut discovery.view(), is_stale).await;
    assert!(!lists.has_changed().unwrap(), "nothing was emptied");
    assert_eq!(balancer.pick(&Request::default()).unwrap().id.as_str(), ID);

    // Nor does one that has nobody's word for it make a list of nobody.
    let gateways = Gateways::builder(&other.url()).build().unwrap();
    let nowhere = gateways.follow(&time());
    becomes(&mut nowhere.problem(), is_refused).await;
    assert!(nowhere.view().borrow().is_none());
    other.stop().await;
}
