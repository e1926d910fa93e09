//! What happens when this process has no room for another connection. A file of its own, for that is true of a whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod proxying;

use std::fs::File;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use gateway::proxy::Outcome;
use gateway::serve::{BesideProxy, Limits, serve};
use gateway::{App, Fleet, Guard, api, fleet};
use registry::{Native, Registry};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

use self::proxying::{Fixed, Gateway, head, instance, named, raw_service, soon};

/// One test at a time takes the files of this process. A runtime needs some, so each has its own within its turn.
fn alone(test: impl Future<Output = ()>) {
    static FILES: Mutex<()> = Mutex::new(());
    let _turn = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// All files that this process may have, until they are given back.
struct Taken {
    files: Vec<File>,
    limit: Rlimit,
}

impl Taken {
    fn all() -> Self {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..limit }).unwrap();
        Self { files: std::iter::from_fn(|| File::open("/dev/null").ok()).collect(), limit }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.files.clear();
        setrlimit(Resource::Nofile, self.limit).unwrap();
    }
}

/// An instance that answers one request, and tells when its connection was closed then.
async fn answers_once() -> (SocketAddr, UnboundedReceiver<()>) {
    let (closed, closings) = unbounded_channel();
    let instance = raw_service(move |mut stream| {
        let closed = closed.clone();
        async move {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            closed.send(()).unwrap();
        }
    });
    (instance.await, closings)
}

const RULES: &str = "[[rule]]\npath = \"/s\"\nservice = \"s\"\n[[rule]]\npath = \"/t\"\nservice = \"t\"";

#[test]
fn a_connection_that_nobody_uses_makes_room_for_one_to_another_instance() {
    alone(async {
        let (once, mut closings) = answers_once().await;
        let later = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lists = Fixed::default();
        lists.list("s", [instance("a", once)]);
        lists.list("t", [instance("b", later.local_addr().unwrap())]);
        let gateway = Gateway::over(lists, RULES).await;
        let mut client = gateway.connect().await;
        client.write_all(b"GET /s HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
        assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(gateway.proxy.served()[0].idle_connections, 1);

        let taken = Taken::all();
        client.write_all(b"GET /t HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await.unwrap();
        soon(closings.recv()).await.unwrap();
        // The other end of the new connection, too, is of this process.
        drop(taken);
        let (mut served, _) = soon(later.accept()).await.unwrap();
        head(&mut served).await;
        served.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(gateway.ended(Outcome::NoRoom), 0);
    });
}

#[test]
fn a_connection_that_nobody_uses_makes_room_for_a_client_at_either_port() {
    alone(async {
        for is_at_proxy in [true, false] {
            let (once, mut closings) = answers_once().await;
            let lists = Fixed::default();
            lists.list("s", [instance("a", once)]);
            let gateway = Gateway::over(lists, RULES).await;
            assert_eq!(gateway.get("/s").await.0, 200);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = if is_at_proxy {
                tokio::spawn(serve(listener, None, gateway.proxy.clone(), Limits::default(), pending()))
            } else {
                let registry =
                    Registry::new(Keeper::start(FakeZk::default().client()).sessions(), Native::default());
                let app = App::new(Fleet::start(registry, None, [], fleet::Options::default()));
                app.tell_of(gateway.proxy.clone());
                let service = BesideProxy { service: api::router(app.clone(), Guard::default()), app };
                tokio::spawn(serve(listener, None, service, Limits::default(), pending()))
            };
            let client = TcpSocket::new_v4().unwrap();

            let taken = Taken::all();
            let mut client = soon(client.connect(address)).await.unwrap();
            soon(closings.recv()).await.unwrap();
            client.write_all(b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            let head = head(&mut client).await;
            drop(taken);
            assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
            server.abort();
        }
    });
}

#[test]
fn no_instance_is_blamed_when_there_is_no_room_here() {
    alone(async {
        let gateway =
            Gateway::before(&[named("a").await, named("b").await], "[ejection]\nfailures = 1").await;
        let mut client = gateway.connect().await;
        // Its connection is accepted, and whatever else needs files has them.
        client.write_all(b"HEAD /%zz HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
        assert!(head(&mut client).await.starts_with("HTTP/1.1 400 "));

        let taken = Taken::all();
        client.write_all(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        soon(client.read_to_string(&mut answer)).await.unwrap();
        drop(taken);

        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
        assert!(answer.contains("no room here for one more connection"), "{answer}");
        assert_eq!(gateway.proxy.served()[0].ejected, 0);
        assert_eq!(gateway.ended(Outcome::NoRoom), 1);
        assert_eq!(gateway.get("/").await.0, 200);
    });
}
