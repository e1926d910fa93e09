//! The console at a gateway that knows its clients by their certificates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod certificates;
mod common;

use browser::{Served, browse_certified, row};
use certificates::{Authority, ask};
use common::{Gateway, body, data, register, stored};
use gateway::tls::{Files, Tls};
use zk_session::fake::FakeZk;

#[tokio::test]
async fn who_has_a_certificate_sees_and_changes_the_fleet_and_nobody_else_does() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    gateway.call("PUT", "/v1/services/time/instances/a", body(1, 600)).await.is(201).await;
    let authority = Authority::new();
    let (chain, key) = authority.sign("server");
    let files = Files { chain, key, client_ca: Some(authority.file("ca.pem")) };
    let served = Served::by_tls(&gateway.app, Tls::load(files).unwrap()).await;
    let without = ask(served.address, &authority, None, &[]).await;
    assert!(without.is_none_or(|(answer, _)| answer.is_empty()), "it is needed");
    let (chain, key) = authority.sign("operator");
    browse_certified(served.address, "#/service/time", (&chain, &key), async |page| {
        // The list of services, a stream, and what is written.
        page.until(&row("a")).await;
        page.says("#services-source", "live").await;
        register(&zk, "time", "b", &data(2));
        page.until(&row("b")).await;
        page.run(&format!("{}.click()", row("a"))).await;
        page.says("#instance-body", "this gateway, for a program").await;
        page.click("#instance-drain").await;
        page.click("#confirm-yes").await;
        page.says("#instance-body", "0: drained").await;
        assert_eq!(stored(&zk, "a").weight, 0);
    })
    .await;
    served.stop().await;
}
