//! Who is measured: processes that forward, and the one that answers.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, thread};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use gateway::proxy::{self, Proxy, Rules, Strict, Upstreams};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use loadbalance::{Instance, Instances, NodeData};
use proto::ServiceName;
use tempfile::TempDir;
use tokio::sync::watch;

/// Where a proxy runs.
const PROXY: &str = "0";
/// Where all others do.
pub(crate) const OTHERS: &str = "1";

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

/// A process that is measured.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    process: Option<Child>,
    _folder: Option<TempDir>,
}

/// All of them, before the same service.
pub(crate) fn all(service: SocketAddr) -> anyhow::Result<Vec<Peer>> {
    let direct = Peer { name: "direct", address: service, process: None, _folder: None };
    let (gateway, legacy) = (start(Role::Gateway, Some(service))?, start(Role::Legacy, Some(service))?);
    Ok(vec![direct, nginx(service)?, gateway, legacy])
}

impl Peer {
    /// How long it had a processor so far.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let Some(process) = &self.process else { return Ok(Duration::ZERO) };
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
        // Behind the name, which may have spaces; the 14th and 15th of all, in ticks of 10 ms.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may be gone already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Starts a process of this bench.
pub(crate) fn start(role: Role, service: Option<SocketAddr>) -> anyhow::Result<Peer> {
    let value = role.to_possible_value().context("a role has a name")?;
    let mut command = Command::new("taskset");
    command.args(["-c", if role == Role::Service { OTHERS } else { PROXY }]).arg(env::current_exe()?);
    command.args(["--role", value.get_name()]);
    command.args(service.map(|service| format!("--service={service}")));
    let mut process = command.stdout(Stdio::piped()).spawn().context("cannot start taskset")?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("it writes where it listens")?).read_line(&mut line)?;
    let name = match role {
        Role::Service => "service",
        Role::Gateway => "gateway",
        Role::Legacy => "legacy",
    };
    Ok(Peer { name, address: line.trim().parse()?, process: Some(process), _folder: None })
}

fn nginx(service: SocketAddr) -> anyhow::Result<Peer> {
    let folder = TempDir::new()?;
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let at = folder.path().display();
    let settings = format!(
        r#"
        daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/error.log crit;
        events {{ worker_connections 4096; }}
        http {{
            access_log off; keepalive_requests 1000000000; server_tokens off;
            client_body_temp_path {at}; proxy_temp_path {at}; fastcgi_temp_path {at}; uwsgi_temp_path {at}; scgi_temp_path {at};
            upstream service {{ server {service}; keepalive 256; keepalive_requests 1000000000; }}
            server {{
                listen {address};
                location / {{
                    proxy_pass http://service;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_set_header Host $host;
                    proxy_set_header X-Forwarded-For $remote_addr;
                    proxy_set_header X-Forwarded-Host $host;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_set_header Forwarded "for=$remote_addr;host=\"$host\";proto=$scheme";
                    proxy_set_header Via "1.1 nginx";
                }}
            }}
        }}
        "#
    );
    let file = folder.path().join("nginx.conf");
    fs::write(&file, settings)?;
    let mut command = Command::new("taskset");
    command.args(["-c", PROXY, "nginx", "-c"]).arg(&file).arg("-p").arg(folder.path());
    let process = command.spawn().context("cannot start nginx: apt-get install nginx-light")?;
    let peer = Peer { name: "nginx", address, process: Some(process), _folder: Some(folder) };
    for _ in 0..100 {
        if TcpStream::connect(address).is_ok() {
            return Ok(peer);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "no runtime here, and nothing else tells when it listens"
        )]
        thread::sleep(Duration::from_millis(20));
    }
    ensure!(false, "nginx does not listen");
    Ok(peer)
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

/// As a gateway serves: both protocols, upgrades, limits on time, and two lengths refused.
async fn serve_gateway(service: SocketAddr) -> anyhow::Result<()> {
    let instance = Instance::new(NodeData::at(service.to_string().parse()?))?;
    let upstreams = Fixed(watch::channel(Some([Arc::new(instance)].into())).0);
    let proxy = Proxy::new(Arc::new(upstreams), Rules::read("[[rule]]\npath = \"/\"\nservice = \"s\"")?);
    let listener = listen().await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let proxy = proxy.clone();
        let peer = Arc::new(proxy::Peer::from(peer));
        let service = service_fn(move |request| {
            let (proxy, peer) = (proxy.clone(), peer.clone());
            async move { Ok::<_, Infallible>(proxy.handle(request, &peer).await) }
        });
        tokio::spawn(async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
            let io = TokioIo::new(Strict::new(stream));
            let _ = server.serve_connection_with_upgrades(io, service).await;
        });
    }
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
