//! Is anything lost when processes have no server for longer than their sessions last, and how soon is all there again?

mod cast;
mod cut;
mod killed;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::try_join_all;
use zookeeper_client::Client;

use self::cast::{SESSIONS, TIMEOUT};
use self::cut::Cut;
use self::killed::Killed;
use super::order::Order;
use crate::bench::processes::Who;
use crate::bench::report::Report;
use crate::bench::stage::Stage;

/// How long the server may take to end all sessions, and how long all may take to be registered: what is missing then is lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// What counts whoever did not come to know in time, however right the nodes are.
const UNKNOWN: &str =
    "registrations not known to be registered and lists not known to be the truth after 60 s";

/// Measures with so many instances, shared by all sessions.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let (mut cut, mut killed) = (Cut::new(), Killed::new());
    for round in 0..=rounds {
        stage.progress().round(round);
        let (mut outcome, mut raw) = (None, None);
        for who in (Order { round }).both() {
            match who {
                Who::Registry => outcome = Some(cut::once(stage, round, count).await?),
                Who::BareClient => raw = Some(cut::bare(stage, round, count).await?),
            }
        }
        let (outcome, raw) = outcome.zip(raw).context("both take their turn")?;
        if round > 0 {
            cut.push(&outcome, raw);
            killed.push(&killed::once(stage, count).await?);
        }
    }
    Ok(Report {
        name: "outage",
        title: "No server for longer than sessions last".to_owned(),
        about: format!(
            "{SESSIONS} sessions of {TIMEOUT:?} share all instances; one of them follows the service as well, and so does a session of another \
             process. First they reach the server by a proxy, and only the other process does not: the proxy refuses everybody until the \
             server, which runs all the time, has deleted every node; then it lets them through, and the time runs. Then all reach it \
             without one: the server is killed, started again with its data after {:?}, and the time runs when it serves. It gives sessions their \
             whole timeout again. An instance is lost that is not registered after {PATIENCE:?} by a session that lives. A node that is \
             made once too often was made by a process twice, or by two. Lost is lost, and so is a registration that does not know of its node by then, and a list that \
             does not know to be the truth: these counts are those of all rounds together. \
             The bare client connects and creates the same nodes, in transactions that do not wait for each other, at a server that serves \
             all the time; whoever was refused pauses between two tries, at random, from 50 ms at first to 800 ms at most, so that not \
             all come back together.",
            killed::DOWN
        ),
        server: stage.server().await?,
        rounds,
        ratios: cut.ratios().into_iter().chain(killed.ratios()).collect(),
        figures: cut.list().into_iter().chain(killed.list()).collect(),
    })
}

/// The session of each node.
async fn owners(client: &Client, directory: &str) -> anyhow::Result<BTreeMap<String, i64>> {
    let names = client.list_children(directory).await?;
    let paths: Vec<_> = names.iter().map(|name| format!("{directory}/{name}")).collect();
    let stats = try_join_all(paths.iter().map(|path| client.check_stat(path))).await?;
    Ok(names.into_iter().zip(stats).filter_map(|(name, stat)| Some((name, stat?.ephemeral_owner))).collect())
}
