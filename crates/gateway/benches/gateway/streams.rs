//! What many streams of events on one service cost, ZooKeeper and the gateway.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use cli::zookeeper::by_flags_alone;
use proto::{Address, NodeData, ServiceName};
use registry::{Native, Registration, Registry};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use zk_local::Server;
use zk_session::{Keeper, ZooKeeper};

const INSTANCES: u16 = 100;
const STREAMS: usize = 1_000;
/// Nothing takes that long unless it is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was measured.
pub(crate) struct Streams {
    pub(crate) instances: u16,
    /// How many bytes one event has.
    pub(crate) state: usize,
    pub(crate) one: Cost,
    pub(crate) many: Cost,
    /// Milliseconds, for each round.
    pub(crate) one_has_it: Vec<f64>,
    pub(crate) all_have_it: Vec<f64>,
}

/// What so many streams cost.
pub(crate) struct Cost {
    pub(crate) streams: usize,
    /// Watches that the server keeps for them.
    pub(crate) watches: u32,
    /// KiB of the gateway's process.
    pub(crate) memory: usize,
}

pub(crate) fn measure(rounds: usize) -> anyhow::Result<Streams> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async { tokio::spawn(streams(rounds)).await.context("the bench ended early")? })
}

async fn streams(rounds: usize) -> anyhow::Result<Streams> {
    let server = Server::start().await.context("cannot start ZooKeeper")?;
    let keeper = Keeper::start(ZooKeeper::builder(&server.connect_string()).build()?);
    let registry = Registry::new(keeper.sessions(), Native::default());
    let service = ServiceName::parse("time")?;
    let mut registrations = Vec::new();
    for port in 1..=INSTANCES {
        let data = NodeData::at(Address::new("10.0.0.1", port)?).with_metadata("zone", "a");
        registrations.push(registry.announce(&service, data)?);
    }
    for registration in &registrations {
        timeout(PATIENCE, registration.registered()).await??;
    }
    let gateway = Gateway::start(&server.connect_string()).await?;
    // Its session is there, and nothing is followed.
    timeout(PATIENCE, gateway.is_ready()).await??;
    let before = watches(&server).await?;

    let mut readers = Readers::default();
    readers.read(&gateway.address, 1).await?;
    let cost = async |streams| {
        let watches = watches(&server).await?.saturating_sub(before);
        anyhow::Ok(Cost { streams, watches, memory: gateway.memory()? })
    };
    let first = &registrations[0];
    let one_has_it = readers.changes(first, rounds).await?;
    let one = cost(1).await?;
    readers.read(&gateway.address, STREAMS - 1).await?;
    let all_have_it = readers.changes(first, rounds).await?;
    let many = cost(STREAMS).await?;
    ensure!(readers.reading.try_join_next().is_none(), "a stream ended");
    let state = *readers.size.borrow();
    drop(readers);
    drop(gateway);
    keeper.close().await;
    Ok(Streams { instances: INSTANCES, state, one, many, one_has_it, all_have_it })
}

async fn watches(server: &Server) -> anyhow::Result<u32> {
    let figures = server.mntr().await?;
    Ok(figures.get("zk_watch_count").context("the server counts watches")?.parse()?)
}

/// The program, as a process of its own.
struct Gateway {
    child: Child,
    address: String,
}

impl Gateway {
    async fn start(zk: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        by_flags_alone(command.as_std_mut()).env_remove("RUST_LOG");
        command.args(["--listen", "127.0.0.1:0", "--zk", zk]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the gateway")?;
        let mut lines = BufReader::new(child.stdout.take().context("it says where it listens")?).lines();
        let line = timeout(PATIENCE, lines.next_line()).await??.context("it says where it listens")?;
        let address = line.strip_prefix("listening on http://").context("it says where it listens")?;
        Ok(Self { child, address: address.to_owned() })
    }

    /// Waits until it can say which services there are, for which it asks ZooKeeper.
    async fn is_ready(&self) -> anyhow::Result<()> {
        loop {
            let mut stream = TcpStream::connect(&self.address).await?;
            let ask =
                format!("GET /v1/services HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
            stream.write_all(ask.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            if answer.starts_with("HTTP/1.1 200 ") {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn memory(&self) -> anyhow::Result<usize> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id().context("it runs")?))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(resident.trim().trim_end_matches("kB").trim().parse()?)
    }
}

/// Streams that are read.
struct Readers {
    reading: JoinSet<anyhow::Result<()>>,
    /// For each the weight that it read last.
    seen: Vec<watch::Receiver<u32>>,
    /// How many bytes the last event had.
    size: watch::Sender<usize>,
    weight: u32,
}

impl Default for Readers {
    fn default() -> Self {
        Self { reading: JoinSet::new(), seen: Vec::new(), size: watch::Sender::new(0), weight: FIRST_WEIGHT }
    }
}

/// Weights that nobody else has begin here; all have as many digits.
const FIRST_WEIGHT: u32 = 500_000;

impl Readers {
    /// Opens so many more, and waits until each has read a state.
    async fn read(&mut self, address: &str, streams: usize) -> anyhow::Result<()> {
        for _ in 0..streams {
            let (told, seen) = watch::channel(0);
            self.reading.spawn(read(address.to_owned(), told, self.size.clone()));
            self.seen.push(seen);
        }
        for seen in &mut self.seen {
            timeout(PATIENCE, seen.wait_for(|seen| *seen > 0)).await??;
        }
        Ok(())
    }

    /// Changes the weight of an instance again and again. Gives how many milliseconds pass until all have read it.
    async fn changes(&mut self, instance: &Registration, rounds: usize) -> anyhow::Result<Vec<f64>> {
        let mut took = Vec::new();
        for round in 0..=rounds {
            self.weight += 1;
            let weight = self.weight;
            let begun = Instant::now();
            instance.set_weight(weight)?;
            for seen in &mut self.seen {
                timeout(PATIENCE, seen.wait_for(|seen| *seen == weight)).await??;
            }
            // The first warms up.
            if round > 0 {
                took.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(took)
    }
}

/// Reads a stream, and tells of each whole event the greatest weight.
async fn read(address: String, told: watch::Sender<u32>, size: watch::Sender<usize>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    let ask = format!("GET /v1/services/time/watch HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await?;
    let mut text = Vec::new();
    loop {
        let read = stream.read_buf(&mut text).await?;
        ensure!(read > 0, "a stream ended");
        // An event ends with an empty line, whatever comes between its chunks.
        let Some(end) = text.windows(2).rposition(|pair| pair == b"\n\n") else { continue };
        let whole = String::from_utf8_lossy(&text[..end]);
        let weights = whole.split("\"weight\":").skip(1).filter_map(|rest| {
            let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
            digits.parse().ok()
        });
        if let Some(weight) = weights.max() {
            size.send_replace(end);
            told.send_replace(weight);
        }
        text.drain(..end + 2);
    }
}
