//! How often servers are asked for a connection when each one breaks at once.

mod real;

use std::time::Duration;

use real::{connected, soon, zookeeper};
use tokio::time::Instant;
use zk_local::{Proxy, Server};

/// Of connections, as the library promises: three at once, and then one in so long.
const EACH: Duration = Duration::from_millis(150);

#[tokio::test]
async fn connections_that_break_at_once_are_not_made_more_often_than_ten_times_a_second() {
    let server = Server::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let begin = Instant::now();
    let zookeeper = zookeeper(proxy.connect_string());
    while begin.elapsed() < Duration::from_secs(3) {
        let session = connected(&zookeeper).await;
        proxy.cut();
        soon(session.ended()).await;
    }
    // What the client begins by itself counts as well: a server sees no difference.
    let most = 4 + begin.elapsed().as_millis() / EACH.as_millis();
    assert!(u128::from(proxy.accepted()) <= most, "{} connections, not {most}", proxy.accepted());
}
