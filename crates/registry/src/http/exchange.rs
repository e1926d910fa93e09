//! One request to a gateway, on a connection of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::address::Gateway;
use super::gateways::Shared;
use super::problem::Problem;

/// How long a connection may take to be there; the next gateway may be quicker.
const CONNECT: Duration = Duration::from_secs(3);

/// The most bytes of an answer that is read as a whole: an instance has 64 KiB at most, and something is told beside it.
const MAX_ANSWER: usize = 128 * 1024;

/// A request that was not sent yet.
pub(super) struct Request<'a> {
    shared: &'a Shared,
    gateway: &'a Gateway,
    request: hyper::Request<Full<Bytes>>,
}

impl<'a> Request<'a> {
    pub(super) fn new(shared: &'a Shared, gateway: &'a Gateway, method: Method, path: &str) -> Self {
        let mut request = hyper::Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", gateway.prefix)
            .parse()
            .expect("a path whose names are escaped is one of a URI");
        let headers = request.headers_mut();
        headers.insert(HOST, gateway.authority.clone());
        headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("headkeeper/", env!("CARGO_PKG_VERSION"))));
        if let Some(authorization) = &shared.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Self { shared, gateway, request }
    }

    pub(super) fn accepting(self, what: &'static str) -> Self {
        self.header(ACCEPT, HeaderValue::from_static(what))
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.request.headers_mut().insert(name, value);
        self
    }

    pub(super) fn json(mut self, body: String) -> Self {
        *self.request.body_mut() = Full::from(body);
        self.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// Sends it, and waits for the head of the answer.
    ///
    /// # Cancel safety
    ///
    /// The connection is closed when this is dropped; the gateway may have done by then what it was asked.
    pub(super) async fn send(self) -> Result<Answer, Problem> {
        let Self { shared, gateway, request } = self;
        let name = &gateway.name;
        let opened = timeout(CONNECT.min(shared.answer), open(shared, gateway)).await;
        let stream = opened
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
            .map_err(|error| Problem::unreachable(name, error))?;
        let answered = timeout(shared.answer, exchange(stream, request)).await;
        let (response, connection) = answered
            .map_err(|_| Problem::interrupted(name, &format!("no answer came within {:?}", shared.answer)))?
            .map_err(|error| Problem::interrupted(name, &told(&error)))?;
        let (head, body) = response.into_parts();
        Ok(Answer {
            gateway: name.clone(),
            status: head.status,
            headers: head.headers,
            body,
            within: shared.answer,
            _connection: connection,
        })
    }
}

/// An answer whose body may still come.
pub(super) struct Answer {
    pub(super) gateway: Arc<str>,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Incoming,
    within: Duration,
    /// Closed when the answer is dropped.
    _connection: JoinSet<()>,
}

impl Answer {
    /// The next bytes of the body; `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                // Trailers say nothing to us.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_trailers) => {}
                },
                Some(Err(error)) => return Err(Problem::interrupted(&self.gateway, &told(&error))),
            }
        }
    }

    /// The whole body, which is a small one.
    pub(super) async fn bytes(self) -> Result<Bytes, Problem> {
        let Self { gateway, body, within, _connection, .. } = self;
        match timeout(within, Limited::new(body, MAX_ANSWER).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(Problem::interrupted(&gateway, &error.to_string())),
            Err(_) => Err(Problem::interrupted(&gateway, &format!("no answer came within {within:?}"))),
        }
    }

    /// Why it was refused.
    pub(super) async fn refusal(self) -> Refusal {
        #[derive(Default, Deserialize)]
        struct Details {
            #[serde(rename = "type")]
            kind: Option<String>,
            detail: Option<String>,
        }

        let (gateway, status) = (self.gateway.clone(), self.status);
        let seconds = self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        let reason = status.canonical_reason().unwrap_or("no reason").to_owned();
        let details = self.bytes().await.ok().and_then(|body| serde_json::from_slice::<Details>(&body).ok());
        let Details { kind, detail } = details.unwrap_or_default();
        let detail = detail.unwrap_or(reason);
        Refusal { kind, problem: Problem::refused(&gateway, status.as_u16(), &detail, retry_after) }
    }
}

/// An answer that says no.
pub(super) struct Refusal {
    /// Which kind of problem it is (RFC 9457), if that was said.
    pub(super) kind: Option<String>,
    pub(super) problem: Problem,
}

/// What goes over a connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn open(shared: &Shared, gateway: &Gateway) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((gateway.host.as_str(), gateway.port)).await?;
    stream.set_nodelay(true)?;
    #[cfg(feature = "http-tls")]
    if let Some(tls) = shared.tls.as_ref().filter(|_| gateway.secure) {
        let name = tokio_rustls::rustls::pki_types::ServerName::try_from(gateway.host.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        return Ok(Box::new(tls.connect(name, stream).await?));
    }
    #[cfg(not(feature = "http-tls"))]
    let _ = shared;
    Ok(Box::new(stream))
}

async fn exchange(
    stream: Box<dyn Stream>,
    request: hyper::Request<Full<Bytes>>,
) -> Result<(hyper::Response<Incoming>, JoinSet<()>), hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        // How it ended is told by the body.
        let _ = connection.await;
    });
    let response = sender.send_request(request).await?;
    Ok((response, task))
}

/// With its cause, for hyper's own words say little.
fn told(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
