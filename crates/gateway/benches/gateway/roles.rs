//! What the processes of this bench do.

use std::convert::Infallible;
use std::future::pending;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use clap::ValueEnum;
use gateway::proxy::{Proxy, Rules, Upstreams};
use gateway::serve::Limits;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use loadbalance::{Instance, Instances, NodeData};
use proto::ServiceName;
use tokio::sync::watch;

/// What a process of this bench does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Answers with as many bytes as the path says.
    Service,
    /// The proxy that is measured.
    Gateway,
    /// The least that forwards by hyper-util's client, to know what its pool takes.
    Legacy,
}

/// Does what a role is for, until it is ended.
pub(crate) fn play(role: Role, service: Option<SocketAddr>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match (role, service) {
            (Role::Service, _) => serve(answer).await,
            (Role::Gateway, Some(service)) => serve_gateway(service).await,
            (Role::Legacy, Some(service)) => serve_legacy(service).await,
            _ => anyhow::bail!("a proxy needs a service"),
        }
    })
}

async fn listen() -> anyhow::Result<tokio::net::TcpListener> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    Ok(listener)
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    static BYTES: [u8; 65_536] = [b'x'; 65_536];
    let size = request.uri().path()[1..].parse().unwrap_or(0);
    Response::new(Full::new(Bytes::from_static(&BYTES[..size])))
}

async fn serve<F, A, B>(answer: F) -> anyhow::Result<()>
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = listen().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

struct Fixed(watch::Sender<Option<Instances>>);

impl Upstreams for Fixed {
    fn instances(&self, _: &ServiceName) -> watch::Receiver<Option<Instances>> {
        self.0.subscribe()
    }

    fn master(&self, _: &ServiceName) -> watch::Receiver<Option<Arc<Instance>>> {
        watch::channel(None).1
    }
}

/// As the program serves: with its limits, and whatever it looks at on a connection.
async fn serve_gateway(service: SocketAddr) -> anyhow::Result<()> {
    let instance = Instance::new(NodeData::at(service.to_string().parse()?))?;
    let upstreams = Fixed(watch::channel(Some([Arc::new(instance)].into())).0);
    let proxy = Proxy::new(Arc::new(upstreams), Rules::read("[[rule]]\npath = \"/\"\nservice = \"s\"")?);
    gateway::serve::serve(listen().await?, None, proxy, Limits::default(), pending()).await;
    Ok(())
}

async fn serve_legacy(service: SocketAddr) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let authority = service.to_string();
    serve(move |mut request: Request<Incoming>| {
        let client = client.clone();
        let target = request.uri().path_and_query().map_or("/", |it| it.as_str());
        let target = format!("http://{authority}{target}").parse::<Uri>();
        request.headers_mut().remove(CONNECTION);
        request.headers_mut().insert(HOST, HeaderValue::from_static("service"));
        async move {
            let Ok(target) = target else {
                return Response::new(http_body_util::Either::Left(Full::default()));
            };
            *request.uri_mut() = target;
            match client.request(request).await {
                Ok(response) => response.map(http_body_util::Either::Right),
                Err(_) => {
                    let mut response = Response::new(http_body_util::Either::Left(Full::default()));
                    *response.status_mut() = hyper::StatusCode::BAD_GATEWAY;
                    response
                }
            }
        }
    })
    .await
}
