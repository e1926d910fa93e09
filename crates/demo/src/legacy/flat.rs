//! Time servers that are found by the name of their node.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use cli::zookeeper::Layout;
use serde::Deserialize;

use super::stage::{Old, Stage, all_end_well, said_after};
use crate::player::Player;

/// Where they are.
const DIR: &str = "/go_servers";

/// So many requests are shared out.
const REQUESTS: u32 = 9;

/// The last line of a client.
#[derive(Deserialize)]
struct Line {
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    failed: u32,
    answered: BTreeMap<String, u32>,
}

pub(super) async fn show(stage: &Stage) -> anyhow::Result<String> {
    let connection = stage.connection(Layout::Flat, DIR)?;
    stage.say("time servers, each an empty node named as its address").await?;
    let old = Old::start(&connection, |address| (DIR.to_owned(), address.to_string(), Vec::new())).await?;
    stage.say(&format!("  an old program made {DIR}/{}, and answers there", old.address)).await?;
    stage.command(&format!("server --layout flat --dir {DIR} --listen 127.0.0.1:0")).await?;
    let mut ours = Vec::new();
    for _ in 0..2 {
        let flags = ["server", "--layout", "flat", "--dir", DIR, "--listen", "127.0.0.1:0"];
        let mut server = Player::start(&connection, &flags)?;
        let at = said_after(&mut server, "registered at ").await?;
        stage.say(&format!("  one of ours is registered at {at}")).await?;
        ours.push(server);
    }
    stage.command(&format!("client --layout flat --dir {DIR} --requests {REQUESTS} --interval 0s")).await?;
    let (answered, failed) = asked(&connection_flags(DIR), stage).await?;
    ensure!(failed == 0, "{failed} requests failed");
    let everybody = answered.len() == 3 && answered.values().all(|count| *count == REQUESTS / 3);
    ensure!(everybody, "the three servers answered {answered:?} of {REQUESTS} requests");
    stage.say(&format!("  all three answered {} requests of our client each", REQUESTS / 3)).await?;
    all_end_well(&mut ours).await?;
    let at = old.address.to_string();
    let (answered, _) = asked(&connection_flags(DIR), stage).await?;
    ensure!(answered.keys().eq([&at]), "only the old program is left, and {answered:?} answered");
    stage.say("  ours left, and the old one answers alone").await?;
    old.end().await;
    Ok("an old server and two of ours share the requests of our client".to_owned())
}

fn connection_flags(dir: &str) -> [&str; 4] {
    ["--layout", "flat", "--dir", dir]
}

/// Who answered how many requests of a client of ours, and how many failed.
pub(super) async fn asked(flags: &[&str], stage: &Stage) -> anyhow::Result<(BTreeMap<String, u32>, u32)> {
    let requests = REQUESTS.to_string();
    let client = ["client", "--json", "--requests", &requests, "--interval", "0s", "--timeout", "30s"];
    let mut client = Player::start(&stage.connection, &[&client, flags].concat())?;
    let last = client.last_line().await?;
    let Line { summary } =
        serde_json::from_str(&last).context("a client did not tell what became of its requests")?;
    Ok((summary.answered, summary.failed))
}
