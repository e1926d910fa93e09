//! The proxy between a real client and a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::time::Duration;

use common::{client, create, exists, soon, started, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use zk_local::{Direction, Proxy, Server};
use zookeeper_client::Error;

async fn proxied() -> (Server, Proxy) {
    let server = started(Server::start()).await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    (server, proxy)
}

/// A connection that greeted the server and was greeted back, without a client that would reconnect by itself.
async fn greeted(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    greet(&mut stream).await;
    soon("the greeting", stream.read_exact(&mut [0; 41])).await.unwrap();
    stream
}

/// Asks for a session of ten seconds: protocol 0, nothing seen, no earlier session, a password of zeros, no read-only.
async fn greet(stream: &mut TcpStream) {
    let mut greeting = Vec::from(45_u32.to_be_bytes());
    greeting.extend([0; 4 + 8]);
    greeting.extend(10_000_u32.to_be_bytes());
    greeting.extend([0; 8]);
    greeting.extend(16_u32.to_be_bytes());
    greeting.extend([0; 16 + 1]);
    stream.write_all(&greeting).await.unwrap();
}

/// A ping, whose answer is 20 bytes.
const PING: [u8; 12] = [0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11];

async fn pong(stream: &mut TcpStream) {
    soon("the answer to a ping", stream.read_exact(&mut [0; 20])).await.unwrap();
}

/// Whether nothing comes for a while in which it otherwise would have.
async fn silent(stream: &mut TcpStream) -> bool {
    tokio::time::timeout(Duration::from_millis(200), stream.read(&mut [0; 1])).await.is_err()
}

#[tokio::test]
async fn bytes_are_counted_each_way() {
    let (_server, proxy) = proxied().await;
    let mut stream = greeted(&proxy).await;
    let counts = || {
        let traffic = *proxy.traffic().borrow();
        (traffic.bytes_to_server, traffic.bytes_to_client)
    };
    assert_eq!(counts(), (49, 41));

    stream.write_all(&PING).await.unwrap();
    pong(&mut stream).await;
    assert_eq!(counts(), (49 + 12, 41 + 20));
}

#[tokio::test]
async fn a_cut_ends_every_connection_and_new_ones_can_be_made() {
    let (_server, proxy) = proxied().await;
    let (mut one, mut other) = (greeted(&proxy).await, greeted(&proxy).await);
    assert_eq!((proxy.connections(), proxy.accepted()), (2, 2));

    proxy.cut();
    for stream in [&mut one, &mut other] {
        let left = soon("the end of a connection", stream.read(&mut [0; 1])).await;
        assert!(matches!(left, Ok(0) | Err(_)), "{left:?}");
    }
    soon("no open connection", proxy.traffic().wait_for(|now| now.connections == 0)).await.unwrap();
    greeted(&proxy).await;
    assert_eq!(proxy.accepted(), 3);
}

#[tokio::test]
async fn refused_connections_are_closed_and_counted_and_open_ones_stay() {
    let (_server, proxy) = proxied().await;
    let mut open = greeted(&proxy).await;
    proxy.refuse(true);
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(matches!(soon("the refusal", refused.read(&mut [0; 1])).await, Ok(0) | Err(_)));
    open.write_all(&PING).await.unwrap();
    pong(&mut open).await;
    assert_eq!(proxy.accepted(), 2);

    proxy.refuse(false);
    greeted(&proxy).await;
}

#[tokio::test]
async fn what_clients_send_can_be_stalled_alone_and_arrives_later() {
    let (server, proxy) = proxied().await;
    let mut stream = greeted(&proxy).await;
    let received = async || server.mntr().await.unwrap()["zk_packets_received"].parse::<u64>().unwrap();
    proxy.stall(Direction::ToServer);
    let before = received().await;
    stream.write_all(&PING).await.unwrap();
    assert!(silent(&mut stream).await);
    // The question itself is the one packet more.
    assert_eq!(received().await, before + 1);

    proxy.flow();
    pong(&mut stream).await;
}

#[tokio::test]
async fn what_the_server_sends_can_be_stalled_alone_while_requests_arrive() {
    let (server, proxy) = proxied().await;
    let through = client(&proxy.connect_string()).await;
    let direct = client(&server.connect_string()).await;
    proxy.stall(Direction::ToClient);
    let creating = tokio::spawn(async move { create(&through, "/arrives").await });
    until("the node", || exists(&direct, "/arrives")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!creating.is_finished());

    proxy.heal();
    soon("the answer", creating).await.unwrap().unwrap();
}

#[tokio::test]
async fn answers_that_came_together_can_be_stalled_after_so_many_of_them() {
    let (_server, proxy) = proxied().await;
    let client = client(&proxy.connect_string()).await;
    let arrived = |create: &tokio::task::JoinHandle<Result<(), Error>>| create.is_finished();
    let traffic = || *proxy.traffic().borrow();
    let before = traffic().answers;
    proxy.stall_after(2);
    // All of them are asked for before the first is answered, in one piece: what the server answers comes in one or two.
    let creates = ["/a", "/b", "/c", "/d"].map(|path| {
        let client = client.clone();
        tokio::spawn(async move { create(&client, path).await })
    });
    soon("the stall", proxy.traffic().wait_for(|now| now.stalls == 1)).await.unwrap();
    until("two answers", || async { creates.iter().filter(|create| arrived(create)).count() == 2 }).await;
    soon("all answers", proxy.traffic().wait_for(|now| now.answers == before + 4)).await.unwrap();
    assert_eq!(creates.iter().filter(|create| arrived(create)).count(), 2, "the server has answered all");

    proxy.flow();
    for create in creates {
        soon("what was held back", create).await.unwrap().unwrap();
    }
    assert_eq!((traffic().answers, traffic().stalls), (before + 4, 1));
}

#[tokio::test]
async fn connections_made_while_stalled_get_through_when_it_flows() {
    let (_server, proxy) = proxied().await;
    proxy.stall(Direction::Both);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    greet(&mut stream).await;
    assert!(silent(&mut stream).await);
    proxy.flow();
    soon("the greeting", stream.read_exact(&mut [0; 41])).await.unwrap();
}

#[tokio::test]
async fn a_stalled_connection_does_not_tell_that_its_server_died() {
    let (server, proxy) = proxied().await;
    let mut stream = greeted(&proxy).await;
    proxy.stall(Direction::Both);
    server.kill().await.unwrap();
    assert!(silent(&mut stream).await);
    proxy.flow();
    assert!(matches!(soon("the end", stream.read(&mut [0; 1])).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_delay_is_added_each_way_and_keeps_the_order() {
    let (_server, proxy) = proxied().await;
    // On a busy machine the first may have arrived before the last is sent; with a longer delay it has not.
    for delay in [150, 1_000, 10_000].map(Duration::from_millis) {
        let mut stream = greeted(&proxy).await;
        let before = *proxy.traffic().borrow();
        proxy.delay(delay);
        let began = Instant::now();
        for sent in 1..=10 {
            stream.write_all(&PING).await.unwrap();
            let taken = before.bytes_to_server + sent * PING.len() as u64;
            let mut traffic = proxy.traffic();
            soon("a ping", traffic.wait_for(|now| now.bytes_to_server == taken)).await.unwrap();
        }
        // All are under way at the same time.
        let together = proxy.traffic().borrow().bytes_to_client == before.bytes_to_client;
        for _ in 0..10 {
            pong(&mut stream).await;
        }
        let took = began.elapsed();
        assert!(took >= 2 * delay, "{took:?}");
        proxy.heal();
        if together {
            return;
        }
    }
    panic!("one is let through after the other");
}

#[tokio::test]
async fn a_lost_reply_leaves_the_request_done_and_the_client_unsure() {
    let (server, proxy) = proxied().await;
    let through = client(&proxy.connect_string()).await;
    create(&through, "/before").await.unwrap();
    proxy.lose_next_reply();
    assert!(matches!(create(&through, "/lost").await, Err(Error::ConnectionLoss)));
    soon("the count of it", proxy.traffic().wait_for(|now| now.lost == 1)).await.unwrap();

    assert!(exists(&client(&server.connect_string()).await, "/lost").await);
    // Only the one: the client's next connection is whole.
    assert!(matches!(create(&through, "/lost").await, Err(Error::NodeExists)));
    assert_eq!(proxy.traffic().borrow().lost, 1);
}

#[tokio::test]
async fn neither_greetings_nor_pings_are_the_reply_that_gets_lost() {
    let (_server, proxy) = proxied().await;
    proxy.lose_next_reply();
    let mut stream = greeted(&proxy).await;
    stream.write_all(&PING).await.unwrap();
    pong(&mut stream).await;

    // An exists of "/" with the number 7.
    let exists =
        [&14_u32.to_be_bytes()[..], &7_u32.to_be_bytes(), &3_u32.to_be_bytes(), &1_u32.to_be_bytes(), b"/\0"];
    stream.write_all(&PING).await.unwrap();
    stream.write_all(&exists.concat()).await.unwrap();
    pong(&mut stream).await;
    assert!(matches!(soon("the end", stream.read(&mut [0; 1])).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn four_letter_words_pass_even_when_a_reply_is_to_be_lost() {
    let (_server, proxy) = proxied().await;
    proxy.lose_next_reply();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(b"ruok").await.unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "imok");
}

#[tokio::test]
async fn new_connections_follow_a_server_that_moved() {
    let (first, proxy) = proxied().await;
    let second = started(Server::start()).await;
    create(&client(&second.connect_string()).await, "/second").await.unwrap();
    drop(first);
    proxy.set_upstream(second.address());
    assert!(exists(&client(&proxy.connect_string()).await, "/second").await);
}

#[tokio::test]
async fn a_dropped_proxy_closes_what_it_carried() {
    let (_server, proxy) = proxied().await;
    let mut stream = greeted(&proxy).await;
    drop(proxy);
    assert!(matches!(soon("the end", stream.read(&mut [0; 1])).await, Ok(0) | Err(_)));
}
