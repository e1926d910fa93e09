//! TLS, and clients that are known by their certificates, on real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod certificates;

use std::fs::{read, write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use certificates::{Authority, LIMIT, ask, speak};
use gateway::serve::{Limits, Peer, serve};
use gateway::tls::{Files, Tls, TlsError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Reads these files.
fn load(chain: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Tls, TlsError> {
    let files = Files { chain: chain.into(), key: key.into(), client_ca: client_ca.map(Path::to_owned) };
    Tls::load(files)
}

async fn start(tls: Tls, limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let who = async |peer: Extension<Peer>| format!("secure {}, certified {}", peer.secure, peer.certified);
    let router = Router::new().route("/", get(who));
    tokio::spawn(serve(listener, Some(tls), router, limits, std::future::pending()));
    address
}

#[tokio::test]
async fn tls_is_spoken_and_nothing_else() {
    let authority = Authority::new();
    let (chain, key) = authority.sign("server");
    let limits = Limits { first: LIMIT * 3, ..Limits::default() };
    let address = start(load(&chain, &key, None).unwrap(), limits).await;
    let (answer, agreed) = ask(address, &authority, None, &[b"http/1.1"]).await.unwrap();
    assert!(answer.ends_with("secure true, certified false"), "{answer}");
    assert_eq!(agreed, b"http/1.1");
    // Both are offered, and the better one is taken.
    let (_, agreed) = ask(address, &authority, None, &[b"http/1.1", b"h2"]).await.unwrap();
    assert_eq!(agreed, b"h2");
    assert!(ask(address, &Authority::new(), None, &[]).await.is_none(), "it is who it says it is");

    // Without TLS, and with nothing at all.
    for begin in ["GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", ""] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        // Who comes behind it is served, so it is accepted by then.
        ask(address, &authority, None, &[]).await.unwrap();
        pass(LIMIT * 3).await;
        let mut told = Vec::new();
        let _ = timeout(LIMIT, stream.read_to_end(&mut told)).await.expect("it ends in time");
        assert!(!String::from_utf8_lossy(&told).contains("200"));
    }
}

#[tokio::test]
async fn clients_are_known_by_their_certificates() {
    let authority = Authority::new();
    let (chain, key) = authority.sign("server");
    let tls = load(&chain, &key, Some(&authority.file("ca.pem"))).unwrap();
    let address = start(tls, Limits::default()).await;
    let known = ask(address, &authority, Some(authority.sign("client")), &[]).await.unwrap().0;
    assert!(known.ends_with("secure true, certified true"), "{known}");
    let nobody = ask(address, &authority, None, &[]).await;
    assert!(nobody.is_none_or(|(answer, _)| !answer.contains("200 OK")));
    let other = Authority::new();
    let answer = ask(address, &authority, Some(other.sign("client")), &[]).await;
    assert!(answer.is_none_or(|(answer, _)| !answer.contains("200 OK")));
}

#[tokio::test]
async fn files_are_read_again_and_wrong_ones_change_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (chain, key) = authority.sign("server");
    let tls = load(&chain, &key, Some(&authority.file("ca.pem"))).unwrap();
    let address = start(tls.clone(), Limits::default()).await;
    let is_served = async |server: &Authority, client: &Authority| {
        let answer = ask(address, server, Some(client.sign("client")), &[]).await;
        answer.is_some_and(|(answer, _)| answer.contains("200 OK"))
    };
    assert!(is_served(&authority, &authority).await);

    // A key that does not belong to the certificate: what was read before goes on.
    let key_before = read(&key).unwrap();
    write(&key, read(other.sign("server").1).unwrap()).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Unusable(_))));
    assert!(is_served(&authority, &authority).await);

    // All of another authority: those who knew us by the first one do not any more, and we do not know them.
    write(&key, &key_before).unwrap();
    for (name, path) in [("server.pem", &chain), ("server.key", &key), ("ca.pem", &authority.file("ca.pem"))]
    {
        let kept = authority.file(&format!("{name}.before"));
        write(kept, read(path).unwrap()).unwrap();
        write(path, read(other.file(name)).unwrap()).unwrap();
    }
    tls.reload().unwrap();
    assert!(is_served(&other, &other).await);
    assert!(!is_served(&other, &authority).await);
    write(authority.file("ca.pem"), read(authority.file("ca.pem.before")).unwrap()).unwrap();
    assert!(!is_served(&authority, &other).await);
}

/// Lets so much time pass for everybody here, and none for the test. Nothing may be on its way over a connection.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn the_handshake_and_the_first_request_have_their_time_together() {
    let authority = Authority::new();
    let (chain, key) = authority.sign("server");
    let limits = Limits { first: LIMIT * 3, ..Limits::default() };
    let address = start(load(&chain, &key, None).unwrap(), limits).await;
    let (slow, quick) =
        (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    // Who comes behind them is served, so both are accepted by then.
    ask(address, &authority, None, &[]).await.unwrap();
    pass(LIMIT * 2).await;
    let mut slow = timeout(LIMIT, speak(slow, &authority, None, &[])).await.unwrap().unwrap();
    let mut quick = timeout(LIMIT, speak(quick, &authority, None, &[])).await.unwrap().unwrap();
    // In time all the same.
    quick.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    timeout(LIMIT, quick.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");

    pass(LIMIT * 3 / 2).await;
    // Had its time begun anew with the handshake, it would last longer than this is waited for.
    let told = timeout(LIMIT, slow.read(&mut answer)).await.expect("its time is over");
    assert_eq!(told.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_handshake_does_not_hold_up_the_end() {
    let authority = Authority::new();
    let (chain, key) = authority.sign("server");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let tls = load(&chain, &key, None).unwrap();
    let long = Duration::from_secs(3_600);
    let limits = Limits { first: long, finish: long, ..Limits::default() };
    let serving = tokio::spawn(serve(listener, Some(tls), Router::new(), limits, async {
        let _ = stopped.await;
    }));
    // One that is accepted and says nothing. Who comes behind it speaks TLS, so it is accepted by then.
    let mut silent = TcpStream::connect(address).await.unwrap();
    ask(address, &authority, None, &[]).await.unwrap();
    stop.send(()).unwrap();
    assert_eq!(timeout(LIMIT, serving).await.unwrap().unwrap(), 0);
    assert_eq!(timeout(LIMIT, silent.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
}

#[test]
fn files_that_cannot_be_are_refused_by_name() {
    let authority = Authority::new();
    let (chain, key) = authority.sign("server");
    let (_, other) = authority.sign("other");
    let nowhere = authority.file("nowhere");
    for (chain, key, ca, told) in [
        (&nowhere, &key, None, "nowhere has no certificate"),
        (&key, &key, None, "server.key has no certificate"),
        (&chain, &chain, None, "server.pem has no private key"),
        (&chain, &key, Some(&*nowhere), "nowhere has no certificate"),
        (&chain, &other, None, "the certificates cannot be used"),
    ] {
        let error: TlsError = load(chain, key, ca).err().unwrap();
        assert!(error.to_string().contains(told), "{told}: {error}");
    }
}
