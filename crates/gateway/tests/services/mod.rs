//! Services that are registered in ZooKeeper, and files that a gateway reads.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::fs::{Permissions, set_permissions, write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use proto::{NodeData, ServiceName};
use registry::{Native, Registration, Registry};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use zk_session::{Keeper, ZooKeeper};

use crate::program::Gateway;

/// A service that says its name and what it was asked for, answers in two parts at `/slow` and speaks another protocol at `/echo`.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    /// Lets the second part of a slow answer go.
    pub(crate) go: Arc<Notify>,
}

impl Service {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let go = Arc::new(Notify::new());
        let goes = go.clone();
        let slow = async move || {
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"first "))]);
            let second = stream::once(async move {
                goes.notified().await;
                Ok(Bytes::from_static(b"second"))
            });
            Body::from_stream(first.chain(second))
        };
        let who = async move |request: Request<Body>| {
            let forwarded = request.headers()["x-forwarded-for"].to_str().unwrap().to_owned();
            format!("{name} {} for {forwarded}", request.uri().path())
        };
        let router = Router::new().route("/slow", get(slow)).route("/echo", any(echo)).fallback(who);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, go }
    }

    pub(crate) fn data(&self) -> NodeData {
        NodeData::at(self.address.to_string().parse().unwrap())
    }
}

async fn echo(mut request: Request<Body>) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    let mut headers = HeaderMap::new();
    headers.insert("connection", "upgrade".parse().unwrap());
    headers.insert("upgrade", "websocket".parse().unwrap());
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// So long that a busy machine loses no session by it.
const CALM: Duration = Duration::from_secs(30);

/// Who registers services.
pub(crate) struct Registrar {
    pub(crate) keeper: Keeper,
    registry: Registry,
}

impl Registrar {
    pub(crate) fn at(zk: &str) -> Self {
        let keeper = Keeper::start(ZooKeeper::builder(zk).session_timeout(CALM).build().unwrap());
        let registry = Registry::new(keeper.sessions(), Native::default());
        Self { keeper, registry }
    }

    pub(crate) fn announce(&self, name: &str, id: &str, service: &Service) -> Registration {
        self.registry.announce_as(&self::name(name), id.parse().unwrap(), service.data()).unwrap()
    }
}

pub(crate) fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

/// A file of rules, or of anything else.
pub(crate) struct File {
    _folder: TempDir,
    pub(crate) path: PathBuf,
}

impl File {
    pub(crate) fn with(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        let file = Self { _folder: folder, path };
        file.write(text);
        file
    }

    pub(crate) fn write(&self, text: &str) {
        write(&self.path, text).unwrap();
        set_permissions(&self.path, Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

pub(crate) async fn proxy(zk: &str, rules: &File) -> Gateway {
    Gateway::start(zk, &["--proxy", "127.0.0.1:0", "--rules", rules.path()]).await
}

/// One rule for all paths.
pub(crate) const ALL_TO_WEB: &str = "[[rule]]\npath = \"/\"\nservice = \"web\"\n";
