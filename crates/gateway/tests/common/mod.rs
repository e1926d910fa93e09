//! What the tests share: a gateway without a network, on a server that is a fake.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod told;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use gateway::{App, Fleet, Guard, api, fleet};
use leader::Election;
use proto::{NodeData, Root, ServiceName};
use registry::{Layout, Native, Registry};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use zk_session::Keeper;
use zk_session::fake::FakeZk;

/// No state is waited for longer than this; with paused time it passes at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Where the instances of `time` are.
pub(crate) const TIME: &str = "/headkeeper/time/instances";

/// A gateway, and the ZooKeeper that it works on.
pub(crate) struct Gateway {
    pub(crate) zk: FakeZk,
    pub(crate) keeper: Keeper,
    pub(crate) fleet: Fleet,
    pub(crate) app: Arc<App>,
    router: Router,
}

impl Gateway {
    pub(crate) fn start(zk: &FakeZk) -> Self {
        Self::with(zk, &[], fleet::Options::default())
    }

    pub(crate) fn guarded(zk: &FakeZk, guard: Guard) -> Self {
        Self::start(zk).behind(guard)
    }

    /// The same, for those alone whom this guard lets pass.
    pub(crate) fn behind(self, guard: Guard) -> Self {
        Self { router: api::router(self.app.clone(), guard), ..self }
    }

    /// The same, with room for so many who wait for news.
    pub(crate) fn with_waiting(self, most: usize) -> Self {
        let app = App::with_waiting(self.fleet.clone(), most);
        let router = api::router(app.clone(), Guard::default());
        Self { app, router, ..self }
    }

    pub(crate) fn with(zk: &FakeZk, configured: &[&str], options: fleet::Options) -> Self {
        let elections = leader::Layout::Native { root: Root::default() };
        Self::laid_out(zk, Native::default(), Some(elections), configured, options)
    }

    /// One whose services lie in ZooKeeper in this way.
    pub(crate) fn laid_out(
        zk: &FakeZk,
        layout: impl Layout,
        elections: Option<leader::Layout>,
        configured: &[&str],
        options: fleet::Options,
    ) -> Self {
        let keeper = Keeper::start(zk.client());
        let registry = Registry::new(keeper.sessions(), layout);
        let election = elections.map(|layout| Election::with_layout(keeper.sessions(), layout));
        let configured = configured.iter().map(|name| ServiceName::parse(name).unwrap());
        let fleet = Fleet::start(registry, election, configured, options);
        let app = App::new(fleet.clone());
        let router = api::router(app.clone(), Guard::default());
        Self { zk: zk.clone(), keeper, fleet, app, router }
    }

    /// Asks; what is answered has to be documented.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let asked = told::Asked::of(&request);
        let response = timeout(LIMIT * 20, self.router.clone().oneshot(request)).await.unwrap().unwrap();
        let (parts, body) = response.into_parts();
        asked.was_told(&self.app, parts.status, &parts.headers);
        Answer { status: parts.status, headers: parts.headers, body: body.into_data_stream() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).header("host", "localhost").body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn get_with(&self, path: &str, header: (&str, &str)) -> Answer {
        let request = Request::get(path).header("host", "localhost").header(header.0, header.1);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// A request with a body that is JSON.
    pub(crate) async fn call(&self, method: &str, path: &str, body: impl ToString) -> Answer {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Asks again until the answer is as wished.
    pub(crate) async fn becomes(&self, path: &str, wished: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1_000 {
            let answer = self.get(path).await.json().await;
            if wished(&answer) {
                return answer;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("waited in vain; now {:#}", self.get(path).await.json().await);
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: BodyDataStream,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        timeout(LIMIT, self.body.next()).await.unwrap().map(Result::unwrap)
    }

    pub(crate) async fn bytes(mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = self.next().await {
            all.extend_from_slice(&piece);
        }
        all
    }

    pub(crate) async fn json(self) -> Value {
        let bytes = self.bytes().await;
        serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&bytes)))
    }

    /// The JSON of an answer that has this status.
    pub(crate) async fn is(self, status: u16) -> Value {
        let (got, json) = (self.status, self.json().await);
        assert_eq!(got, status, "{json:#}");
        json
    }

    /// The detail of problem details that have this status and this kind.
    pub(crate) async fn problem(self, status: u16, kind: &str) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.status);
        let json = self.is(status).await;
        assert_eq!(json["type"], format!("urn:headkeeper:problem:{kind}"), "{json:#}");
        assert_eq!(json["status"], status);
        json["detail"].as_str().unwrap().to_owned()
    }

    /// The next event of a stream, without comments: its id and its data.
    pub(crate) async fn event(&mut self) -> (String, Value) {
        loop {
            let piece = self.next().await.expect("the stream goes on");
            let text = std::str::from_utf8(&piece).unwrap();
            if let Some((id, data)) = text.split_once("\ndata: ") {
                let id = id.strip_prefix("id: ").unwrap().to_owned();
                return (id, serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap());
            }
        }
    }
}

pub(crate) fn data(port: u16) -> NodeData {
    NodeData::at(proto::Address::new("127.0.0.1", port).unwrap())
}

/// Registers by somebody else.
pub(crate) fn register(zk: &FakeZk, service: &str, name: &str, data: &NodeData) {
    let path = format!("/headkeeper/{service}/instances/{name}");
    zk.put_ephemeral(&path, proto::encode(data).unwrap(), zk.stranger());
}

/// The ids on a list.
pub(crate) fn ids(service: &Value) -> Vec<&str> {
    let instances = service["instances"].as_array().unwrap_or_else(|| panic!("{service:#}"));
    instances.iter().map(|instance| instance["id"].as_str().unwrap()).collect()
}

/// What a program says that registers, with its port and the time of its lease.
pub(crate) fn body(port: u16, ttl: u64) -> Value {
    json!({"server_ip": "10.0.0.1", "server_port": port, "ttl": ttl, "metadata": {"zone": "b"}})
}

/// What stands in ZooKeeper of an instance of `time`.
pub(crate) fn stored(zk: &FakeZk, name: &str) -> NodeData {
    proto::decode(&zk.get(&format!("{TIME}/{name}")).expect("it is registered").data).unwrap()
}

/// Waits until exactly these are registered.
pub(crate) async fn registered(zk: &FakeZk, names: &[&str]) {
    timeout(LIMIT * 20, zk.until(|zk| zk.children(TIME) == names)).await.unwrap_or_else(|_| {
        panic!("waited for {names:?}, there are {:?}", zk.children(TIME));
    });
}
