//! What is asked, by wrk.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::latencies::Latencies;
use crate::peers::{OTHERS, Peer};

/// Writes what [`Latencies`] reads.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/gateway/latencies.lua");

/// A kind of requests.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    connections: u32,
    path: &'static str,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) median: f64,
    /// Milliseconds that one of a hundred requests takes longer.
    pub(crate) p99: f64,
    /// The same of time, as wrk tells it: a request that takes long counts for all that could have been asked meanwhile.
    pub(crate) p99_of_time: f64,
    /// Microseconds of the peer's processor time for each request.
    pub(crate) processor: f64,
}

impl Load {
    pub(crate) const ALL: [Self; 4] = [
        Self { name: "1 KiB, 64 connections", connections: 64, path: "/1024" },
        Self { name: "1 KiB, 8 connections", connections: 8, path: "/1024" },
        Self { name: "1 KiB, 1 connection", connections: 1, path: "/1024" },
        Self { name: "64 KiB, 16 connections", connections: 16, path: "/65536" },
    ];

    pub(crate) fn run(&self, peer: &Peer, time: Duration) -> anyhow::Result<Measured> {
        let before = peer.processor_time()?;
        let output = Command::new("taskset")
            .args(["-c", OTHERS, "wrk", "-t1", "--latency", "-s", SCRIPT])
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{}s", time.as_secs()))
            .arg(format!("http://{}{}", peer.address, self.path))
            .output()
            .context("cannot start wrk: make bench-gateway installs it")?;
        let processor = peer.processor_time()? - before;
        let text = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "wrk: {}", String::from_utf8_lossy(&output.stderr));
        ensure!(!text.contains("Non-2xx"), "requests failed: {text}");
        ensure!(!text.contains("Socket errors"), "connections failed: {text}");
        let word = |label: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(label));
            line.and_then(|rest| rest.split_whitespace().next()).with_context(|| format!("{label} in {text}"))
        };
        let requests = text.lines().find(|line| line.contains(" requests in ")).unwrap_or_default();
        let requests: f64 = requests.split_whitespace().next().unwrap_or_default().parse()?;
        let latencies = Latencies::read(&text, self.connections.into())?;
        Ok(Measured {
            per_second: word("Requests/sec:")?.parse()?,
            median: latencies.percentile(0.5)?,
            p99: latencies.percentile(0.99)?,
            p99_of_time: milliseconds(word("99%")?)?,
            processor: processor.as_secs_f64() * 1e6 / requests,
        })
    }
}

fn milliseconds(text: &str) -> anyhow::Result<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.parse::<f64>()? * factor);
        }
    }
    anyhow::bail!("{text} is no time of wrk's")
}
