//! Servers that answer nonsense, die in the middle of an answer, or say nothing: a reconnect, never a panic or a hang.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod real;

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use real::{connected, options, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zk_session::{Connect, Error, Keeper, Kind, Op, Session, ZooKeeper};

/// What each connection costs, as the library promises: three at once, and then one in so long.
const EACH: Duration = Duration::from_millis(150);

/// What a server sends for the request with a number; it hangs up when that is nothing.
type Answer = fn(i32) -> Option<Vec<u8>>;

/// Asks for something, and says how it failed.
type Ask = for<'a> fn(&'a dyn Session) -> BoxFuture<'a, Option<Error>>;

type Talk = fn(TcpStream) -> BoxFuture<'static, Option<()>>;

/// A server for which `answer` decides what comes back on each connection. It stops when this is dropped.
struct Fake {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serving<F: Future<Output = Option<()>> + Send + 'static>(
    answer: impl Fn(TcpStream) -> F + Send + 'static,
) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.spawn(answer(stream));
        }
    });
    Fake { address, task }
}

/// What follows the length of a frame.
async fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// Accepts a session of `timeout` ms, answers pings as a server does and everything else by `answer`.
async fn session(mut stream: TcpStream, timeout: i32, answer: Answer) -> Option<()> {
    frame(&mut stream).await?;
    let mut accepted = vec![0; 4];
    accepted.extend(timeout.to_be_bytes());
    accepted.extend(7_i64.to_be_bytes());
    accepted.extend(16_i32.to_be_bytes());
    accepted.extend([9; 16]);
    accepted.push(0);
    stream.write_all(&framed(&accepted)).await.ok()?;
    loop {
        let request = frame(&mut stream).await?;
        let xid = i32::from_be_bytes(request.get(..4)?.try_into().ok()?);
        let bytes = match xid {
            -2 => Some(reply(xid, 0, &[])),
            _ => answer(xid),
        };
        stream.write_all(&bytes?).await.ok()?;
    }
}

fn reply(xid: i32, error: i32, body: &[u8]) -> Vec<u8> {
    framed(&[xid.to_be_bytes().as_slice(), &1_i64.to_be_bytes(), &error.to_be_bytes(), body].concat())
}

#[tokio::test]
async fn a_server_that_is_none_cannot_be_reached() {
    let table: [(&str, Talk); 6] = [
        ("hangs up", |_| Box::pin(async { None })),
        ("says nothing", |stream| {
            Box::pin(async move {
                std::future::pending::<()>().await;
                drop(stream);
                None
            })
        }),
        ("speaks HTTP", |mut stream| {
            Box::pin(async move {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok()?;
                frame(&mut stream).await.map(drop)
            })
        }),
        ("sends zeros", |mut stream| {
            Box::pin(async move {
                stream.write_all(&[0; 4096]).await.ok()?;
                frame(&mut stream).await.map(drop)
            })
        }),
        ("sends a length below zero", |mut stream| {
            Box::pin(async move {
                stream.write_all(&[0xff; 64]).await.ok()?;
                frame(&mut stream).await.map(drop)
            })
        }),
        ("dies in the middle of its first answer", |mut stream| {
            Box::pin(async move {
                frame(&mut stream).await?;
                stream.write_all(&[0, 0, 0, 37, 0, 0]).await.ok()
            })
        }),
    ];
    for (what, talk) in table {
        let fake = serving(talk).await;
        let zookeeper = options(fake.address).session_timeout(Duration::from_secs(1)).build().unwrap();
        let result = soon(zookeeper.connect()).await;
        assert!(matches!(result, Err(Error::Unreachable { .. })), "{what}: {result:?}");
        soon(zookeeper.close()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_makes_no_sense_ends_the_connection() {
    let table: [(&str, Answer); 10] = [
        ("hangs up", |_| None),
        ("answers with nothing", |xid| Some(reply(xid, 0, &[]))),
        ("answers with three bytes", |xid| Some(reply(xid, 0, &[1, 2, 3]))),
        ("answers with twenty bytes", |xid| Some(reply(xid, 0, &[0x7f; 20]))),
        ("answers what was not asked", |_| Some(reply(4711, 0, &[]))),
        ("sends half a header", |_| Some(framed(&[0, 0]))),
        ("sends a length below zero", |_| Some(vec![0xff; 64])),
        ("sends a length that nothing follows", |_| Some(vec![0x7f, 0xff, 0xff, 0xff, 1])),
        ("tells of a change that is none", |_| {
            Some(reply(-1, 0, &[0, 0, 0, 99, 0, 0, 0, 3, 0, 0, 0, 1, b'/']))
        }),
        ("says that the session expired", |xid| Some(reply(xid, -112, &[]))),
    ];
    for (what, answer) in table {
        let fake = serving(move |stream| session(stream, 1_000, answer)).await;
        let zookeeper = options(fake.address).session_timeout(Duration::from_secs(1)).build().unwrap();
        let interrupted =
            |error: Option<Error>| assert!(matches!(error, Some(Error::Interrupted)), "{what}: {error:?}");
        let requests: [Ask; 8] = [
            |session| Box::pin(async { session.get("/a").await.err() }),
            |session| Box::pin(async { session.create("/a", b"", Kind::Ephemeral).await.err() }),
            |session| Box::pin(async { session.set("/a", b"", None).await.err() }),
            |session| Box::pin(async { session.sync("/a").await.err() }),
            |session| Box::pin(async { session.watch_node("/a").await.err() }),
            |session| Box::pin(async { session.get_many(&["/a".to_owned()]).await.err() }),
            |session| {
                Box::pin(async {
                    session.commit(&[Op::Check { path: "/a".to_owned(), version: None }]).await.err()
                })
            },
            |session| Box::pin(async { session.create("/a-", b"", Kind::EphemeralSequential).await.err() }),
        ];
        for request in requests {
            let session = connected(&zookeeper).await;
            interrupted(soon(request(&*session)).await);
            soon(session.ended()).await;
        }
        // Nor when many wait for an answer.
        let session = connected(&zookeeper).await;
        soon(join_all((0..100).map(|_| session.get("/a"))))
            .await
            .into_iter()
            .for_each(|got| interrupted(got.err()));
    }
}

#[tokio::test]
async fn a_request_that_is_not_answered_for_a_session_timeout_ends_the_connection() {
    // Where a busy machine took that for silence, it does not with a longer one.
    for seconds in [1, 5, 25] {
        let granted = seconds * 1_000;
        let fake = serving(move |stream| session(stream, granted, |_| Some(Vec::new()))).await;
        let timeout = Duration::from_secs(seconds.unsigned_abs().into());
        let zookeeper = options(fake.address).session_timeout(timeout).build().unwrap();
        let session = connected(&zookeeper).await;
        let asked = Instant::now();
        let result = soon(session.get("/a")).await;
        assert!(matches!(result, Err(Error::Interrupted)));
        let waited = asked.elapsed();
        soon(session.ended()).await;
        if waited >= timeout - Duration::from_millis(10) {
            return;
        }
    }
    panic!("it ends earlier");
}

#[tokio::test]
async fn refusals_that_servers_seldom_give_are_answers() {
    let table: [(&str, Answer); 3] = [
        ("3.6 or later", |xid| Some(reply(xid, -6, &[]))),
        ("too busy", |xid| Some(reply(xid, -127, &[]))),
        ("its error -7", |xid| Some(reply(xid, -7, &[]))),
    ];
    for (expected, answer) in table {
        let fake = serving(move |stream| session(stream, 60_000, answer)).await;
        let zookeeper = options(fake.address).session_timeout(Duration::from_secs(60)).build().unwrap();
        let session = connected(&zookeeper).await;
        match soon(session.watch_tree("/a")).await {
            Err(Error::Rejected { what }) => {
                assert!(what.contains(expected) && what.contains("/a"), "{what}");
            }
            other => panic!("{expected}: {other:?}"),
        }
        assert!(
            matches!(soon(session.get("/a")).await, Err(Error::Rejected { .. })),
            "the connection goes on"
        );
    }
}

#[tokio::test]
async fn three_servers_that_hang_up_see_ten_tries_a_second_together() {
    const TRIES: u32 = 20;
    // Who has a session to save is in a hurry, and is bound by the same limit.
    for in_danger in [false, true] {
        let (told, mut tries) = tokio::sync::mpsc::unbounded_channel();
        let (end, ended) = watch::channel(!in_danger);
        let serve = || {
            let (told, ended) = (told.clone(), ended.clone());
            serving(move |stream| {
                let (told, mut ended) = (told.clone(), ended.clone());
                async move {
                    if *ended.borrow() {
                        return told.send(Instant::now()).ok();
                    }
                    tokio::select! {
                        served = session(stream, 2_000, |_| None) => served,
                        _ = ended.wait_for(|ended| *ended) => None,
                    }
                }
            })
        };
        let servers = [serve().await, serve().await, serve().await];
        let addresses = servers.each_ref().map(|server| server.address.to_string()).join(",");
        let options = ZooKeeper::builder(&addresses).session_timeout(Duration::from_secs(2));
        let mut begin = Instant::now();
        let keeper = Keeper::start(options.build().unwrap());
        if in_danger {
            soon(keeper.sessions().next()).await.unwrap();
            begin = Instant::now();
            end.send_replace(true);
        }
        for _ in 0..TRIES {
            soon(tries.recv()).await.unwrap();
        }
        let took = begin.elapsed();
        keeper.close().await;
        eprintln!("in danger: {in_danger}, {TRIES} tries in {took:?}");
        // Three at once, and then one after the other; one more begins by itself when a connection ends.
        assert!(took >= (TRIES - 4) * EACH, "in danger: {in_danger}, {TRIES} tries in {took:?}");
    }
}

#[tokio::test]
async fn a_close_that_a_server_answers_by_hanging_up_is_tried_ten_times_a_second() {
    let (told, mut tries) = tokio::sync::mpsc::unbounded_channel();
    let fake = serving(move |stream| {
        let told = told.clone();
        async move {
            told.send(()).ok()?;
            session(stream, 10_000, |_| None).await
        }
    })
    .await;
    let zookeeper = options(fake.address).session_timeout(Duration::from_secs(10)).build().unwrap();
    let begin = Instant::now();
    connected(&zookeeper).await;
    soon(zookeeper.close()).await;
    let took = begin.elapsed();
    let tried = std::iter::from_fn(|| tries.try_recv().ok()).count();
    // One more begins by itself when a connection ends.
    let most = 4 + took.as_millis() / EACH.as_millis();
    assert!(tried as u128 <= most, "{tried} tries in {took:?}, not {most}");
    assert!(tried > 4, "{tried}");
}
