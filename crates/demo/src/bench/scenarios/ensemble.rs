//! What an ensemble takes as people run it: three servers, each of which has written to its disk what it says that it has.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use zk_local::{Ensemble, Server};

use super::change::{self, Known};
use super::register::{self, Way};
use crate::bench::report::{Figure, Report, median};
use crate::bench::stage::{Stage, instances};

const SERVERS: usize = 3;
/// Less than a server alone has: there are three on the same machine, and little is kept.
const JAVA: [&str; 3] = ["-Xms256m", "-Xmx512m", "-XX:+UseParallelGC"];
/// How often the disk is asked by itself, and for how much: about as much as one create has.
const FORCED: u64 = 100;
const CREATE: [u8; 400] = [7; 400];

/// Measures the registration of so many instances, and a change in a small service.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    stage.progress().doing("starting three servers");
    let servers = Server::builder().java_options(JAVA).config("forceSync", "yes");
    let ensemble = Ensemble::builder(SERVERS).servers(servers).start().await?;
    let leader = ensemble.leader().await?;
    // Most clients are with one that does not lead, and who is with which is not to be drawn anew for each of them.
    let follows = (0..SERVERS).find(|index| *index != leader).context("nobody follows the leader")?;
    let theirs = ensemble.server(follows);
    let on = Stage::set(Some(&theirs.connect_string()), stage.progress().clone()).await?;
    let instances = instances(count)?;
    let mut rates = Way::ALL.map(Way::figure);
    let mut forced =
        Figure::new("as much as one create has, written and forced to the same disk by itself", "us");
    let mut seen = Seen::new();
    for round in 0..=rounds {
        stage.progress().round(round);
        let beside = theirs.log().with_file_name("forced");
        let disk = spawn_blocking(move || forced_us(beside)).await??;
        let measured = register::one_round(&on, &instances, round).await?;
        let known = change::by_one_watcher(&on, round).await?;
        if round > 0 {
            forced.push(disk);
            for (rate, (took, _)) in rates.iter_mut().zip(measured) {
                rate.push(f64::from(count) / took);
            }
            seen.push(&known);
        }
    }
    on.clear().await?;
    Ok(Report {
        name: "ensemble",
        title: "Registering, and one change, on three servers that force to the disk".to_owned(),
        about: format!(
            "As `register` and `change` do it among 100, but on {SERVERS} servers of their own, which run with `forceSync=yes` as they do unless \
             told otherwise: a write is acknowledged when two of them have it on their disks. All three share one disk and the processors of \
             this machine, with all who measure; Java has {}. Everybody is connected to one server that does not lead. A change is timed from the writer's call until the \
             list of our follower shows it, or the bare client has read what was added and knows of what was deleted. Nothing is judged: what the \
             disk takes by itself is the first figure, the median of {FORCED} writes in a round, and disks differ by more than all else here. Whoever awaits each \
             write waits for it each time; writes that come together are forced together.",
            JAVA.join(" ")
        ),
        server: stage.server().await?,
        rounds,
        figures: [forced].into_iter().chain(rates).chain(seen.0).collect(),
        ratios: Vec::new(),
    })
}

/// What a change takes until it is known, with ours and with the bare client.
struct Seen([Figure; 4]);

impl Seen {
    fn new() -> Self {
        let pair = |what: &str| {
            let bare = Figure::new(format!("bare client: {what}"), "us").bare();
            [Figure::new(what, "us").beside(bare.what.clone()), bare]
        };
        let [added, raw_added] = pair("one added, from the writer's call");
        let [deleted, raw_deleted] = pair("one deleted, from the writer's call");
        Self([added, raw_added, deleted, raw_deleted])
    }

    fn push(&mut self, known: &Known) {
        let Known { added, raw_added, deleted, raw_deleted } = *known;
        for (figure, value) in self.0.iter_mut().zip([added, raw_added, deleted, raw_deleted]) {
            figure.push(value);
        }
    }
}

/// How long it takes, in microseconds, until the disk has what is written over a part of a file, as ZooKeeper writes its log: the median.
fn forced_us(path: PathBuf) -> anyhow::Result<f64> {
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let all = vec![0; CREATE.len() * usize::try_from(FORCED)?];
    file.write_all_at(&all, 0)?;
    file.sync_all()?;
    let mut took = Vec::new();
    for number in 0..FORCED {
        let start = Instant::now();
        file.write_all_at(&CREATE, number * CREATE.len() as u64)?;
        file.sync_data()?;
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_asked_and_takes_its_time() {
        let folder = tempfile::tempdir().unwrap();
        assert!(forced_us(folder.path().join("forced")).unwrap() > 0.0);
        assert!(forced_us(folder.path().join("missing/forced")).is_err());
    }
}
