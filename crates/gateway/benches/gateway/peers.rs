//! Who is measured: processes that forward, and the one that answers.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use tempfile::TempDir;

use crate::roles::Role;

/// Where a proxy runs.
const PROXY: &str = "0";
/// Where all others do.
pub(crate) const OTHERS: &str = "1";

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

/// Debian has it where not everybody looks for programs.
pub(crate) fn nginx_program() -> &'static str {
    let debians = "/usr/sbin/nginx";
    if fs::exists(debians).unwrap_or(false) { debians } else { "nginx" }
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
    command.args(["-c", PROXY, nginx_program(), "-c"]).arg(&file).arg("-p").arg(folder.path());
    let process = command.spawn().context("cannot start nginx: make bench-gateway installs it")?;
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
