//! The services that the console shows: how many instances each has, whose requests they get, and what is kept of those that were looked at.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use std::time::Duration;

use browser::{PATIENCE, Page, Served, browse, row};
use common::{Gateway, data, register};
use gateway::Guard;
use gateway::fleet::Options;
use leader::{Credentials, Layout};
use proto::Root;
use registry::MasterNormal;
use tokio::time::{sleep, timeout};
use zk_session::fake::FakeZk;

#[tokio::test]
async fn a_number_that_nobody_tells_is_no_number_and_a_list_that_is_known_is_not_sent_again() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    register(&zk, "secret", "a", &data(1));
    zk.refuse_reads("/headkeeper/secret/instances", true);
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "", async |page| {
        page.says("#services-list li:nth-child(1)", "secret–").await;
        page.says("#services-list li:nth-child(2)", "time1").await;
        let known = "headkeeper_http_requests_total{method=\"GET\",path=\"/v1/services\",status=\"304\"} ";
        let is_known = async {
            loop {
                let text = String::from_utf8(gateway.get("/metrics").await.bytes().await).unwrap();
                if text.contains(known) {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, is_known).await.expect("it is told that it knows the list");
        register(&zk, "video", "v", &data(2));
        page.says("#services-list li:nth-child(3)", "video1").await;
        page.says("#services-source", "live").await;
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn a_master_that_gets_no_requests_has_no_share() {
    let zk = FakeZk::default();
    let credentials = Credentials::default();
    let node = |name: &str, port: u16, weight: u32| {
        let value = proto::master_normal::encode(&data(port).with_weight(weight), &credentials).unwrap();
        zk.put_ephemeral(&format!("/headkeeper/time/{name}"), value, zk.stranger());
    };
    node("master", 1, 3);
    node("normal0000000001", 2, 1);
    let layout = Layout::MasterNormal { root: Root::default(), credentials: credentials.clone() };
    let options = Options { roles: true, ..Options::default() };
    let gateway = Gateway::laid_out(&zk, MasterNormal::default(), Some(layout), &[], options);
    let served = Served::start(&gateway.app, Guard::default()).await;
    let share = async |page: &Page, id: &str, share: &str| {
        page.until(&format!("{}?.querySelector('.share .text').textContent === '{share}'", row(id))).await;
    };
    browse(served.address, "#/service/time", async |page| {
        share(&page, "master", "0 %").await;
        share(&page, "normal0000000001", "100.0 %").await;
        page.run(&format!("{}.click()", row("master"))).await;
        page.says("#instance-body", "none: it is the master, and others take them").await;
        assert!(zk.remove("/headkeeper/time/normal0000000001"));
        // Alone it takes everything.
        share(&page, "master", "100.0 %").await;
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn what_was_looked_at_lately_goes_on_and_what_was_long_ago_begins_anew() {
    let zk = FakeZk::default();
    for number in 1..=6 {
        register(&zk, &format!("service-{number}"), &format!("i{number}"), &data(number));
    }
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "#/service/service-1", async |page| {
        let visit = async |number: u16| {
            page.run(&format!("location.hash = '#/service/service-{number}'")).await;
            page.until(&row(&format!("i{number}"))).await;
        };
        for number in 1..=6 {
            visit(number).await;
        }
        visit(2).await;
        page.says("#timeline", "not watched for").await;
        visit(1).await;
        page.says("#timeline", "Nothing has happened yet").await;
        // And of what is not there nothing is drawn, nor of what was before.
        let drawn = "document.querySelectorAll('.chart .grid > *, .chart path[d]:not([d=\"\"])').length";
        page.until(&format!("{drawn} > 0")).await;
        page.run("location.hash = '#/service/nobody'").await;
        page.says("#stream-banner-text", "there is no such service").await;
        page.until(&format!("{drawn} === 0")).await;
        let told = "document.querySelector('#chart-instances svg').ariaLabel";
        page.until(&format!("{told} === 'instances in the last 10 minutes: not known'")).await;
    })
    .await;
    served.stop().await;
}
