//! What a pick over HTTP costs beside a handler of axum that returns the same bytes.
//!
//! One worker serves, another thread asks on kept connections, and rounds of the two are interleaved, so that what else the machine does
//! falls on both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use gateway::serve::{Limits, serve};
use gateway::{App, Fleet, Guard, api, fleet};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

pub(crate) const INSTANCES: u16 = 100;
pub(crate) const CONNECTIONS: usize = 32;

const PICK: &str = "/v1/services/time/pick?algorithm=round-robin";

/// Requests a second of one round: picks, and answers of the constant.
pub(crate) type Round = (f64, f64);

/// Measures picks and the constant in turn.
pub(crate) fn measure(rounds: usize, time: Duration) -> anyhow::Result<Vec<Round>> {
    let (told, addresses) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            told.send(start().await).expect("somebody waits for them");
            std::future::pending::<()>().await;
        });
    });
    let (pick, constant) = addresses.recv()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut measured = Vec::new();
    for round in 0..=rounds {
        let both = (runtime.block_on(ask(pick, time))?, runtime.block_on(ask(constant, time))?);
        // The first warms up.
        if round > 0 {
            measured.push(both);
        }
    }
    Ok(measured)
}

/// Where a gateway listens, and where a constant is.
async fn start() -> (SocketAddr, SocketAddr) {
    let zk = FakeZk::default();
    let owner = zk.stranger();
    for port in 1..=INSTANCES {
        let data = NodeData::at(proto::Address::new("10.0.0.1", port).expect("an address"))
            .with_metadata("zone", "a");
        let path = format!("/headkeeper/time/instances/10.0.0.1:{port}");
        zk.put_ephemeral(&path, proto::encode(&data).expect("good data"), owner);
    }
    let keeper = Keeper::start(zk.client());
    let registry = Registry::new(keeper.sessions(), Native::default());
    let service = ServiceName::parse("time").expect("a name");
    let fleet = Fleet::start(registry, None, [service], fleet::Options::default());
    let app = App::new(fleet);
    let gateway = listen(api::router(app, Guard::default())).await;
    let body = loop {
        let answer = once(gateway).await;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => break body.to_owned(),
            _ => sleep(Duration::from_millis(10)).await,
        }
    };
    let constant: &'static str = body.leak();
    let handler = get(async move || ([(CONTENT_TYPE, "application/json")], constant));
    let constant = listen(Router::new().route("/v1/services/{service}/pick", handler)).await;
    // Both go on for as long as the process.
    std::mem::forget(keeper);
    (gateway, constant)
}

async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(serve(listener, None, router, Limits::default(), std::future::pending()));
    address
}

async fn once(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {PICK} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer
}

/// How many requests a second are answered.
async fn ask(address: SocketAddr, time: Duration) -> std::io::Result<f64> {
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let begin = Instant::now();
    let mut asking = Vec::new();
    for _ in 0..CONNECTIONS {
        let (over, answered) = (over.clone(), answered.clone());
        asking.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let request = format!("GET {PICK} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            let mut answer = [0; 4_096];
            while !over.load(Ordering::Relaxed) {
                stream.write_all(request.as_bytes()).await?;
                // Answers are small, and come in one piece: two would be counted once, and seen by the next that is wrong.
                let read = stream.read(&mut answer).await?;
                if !answer[..read].starts_with(b"HTTP/1.1 200 OK") || answer[read - 1] != b'}' {
                    return Err(std::io::Error::other("not the answer that was expected"));
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }));
    }
    sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let took = begin.elapsed();
    let count = answered.load(Ordering::Relaxed);
    for task in asking {
        task.await.map_err(std::io::Error::other)??;
    }
    Ok(count as f64 / took.as_secs_f64())
}
