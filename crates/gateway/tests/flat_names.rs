//! Names that the one service of the flat layout does not have, though a rule of the proxy may follow it by one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use common::Gateway;
use gateway::fleet::Options;
use gateway::proxy::Upstreams;
use proto::ServiceName;
use registry::Flat;
use tokio::time::timeout;
use zk_session::fake::FakeZk;

#[tokio::test(start_paused = true)]
async fn a_name_that_somebody_follows_is_none_all_the_same() {
    let zk = FakeZk::default();
    zk.put_ephemeral("/go_servers/127.0.0.1:9001", "", zk.stranger());
    let gateway = Gateway::laid_out(&zk, Flat::default(), None, &["time"], Options::default());
    let mut lists = gateway.fleet.instances(&ServiceName::parse("tiem").unwrap());
    let is_there = lists.wait_for(|list| list.as_ref().is_some_and(|list| !list.is_empty()));
    timeout(common::LIMIT, is_there).await.unwrap().unwrap();
    for path in ["", "/pick", "/watch", "/instances/127.0.0.1:9001"] {
        gateway.get(&format!("/v1/services/tiem{path}")).await.problem(404, "another-name").await;
    }
    gateway.get("/v1/services/time").await.is(200).await;
}
