//! Master and normal instances.

use anyhow::ensure;
use cli::zookeeper::Layout;
use proto::master_normal::{Credentials, MASTER, encode};
use proto::{NodeData, ServiceName};
use tokio::time::Instant;

use super::flat::asked;
use super::stage::{Old, Stage, all_end_well, said, said_after};
use crate::player::Player;

/// Where they are.
const ROOT: &str = "/micro-service";

const SERVICE: &str = "testserver";

pub(super) async fn show(stage: &Stage) -> anyhow::Result<String> {
    let connection = stage.connection(Layout::MasterNormal, ROOT)?;
    let service = ServiceName::parse(SERVICE)?;
    stage.say("a service with a master, and normal instances that take over from it").await?;
    let directory = connection.place.root.service_dir(&service);
    let old = Old::start(&connection, |address| {
        let data = NodeData::at(address.clone()).with_code("an-old-program");
        let value = encode(&data, &Credentials::default()).unwrap_or_default();
        (directory, MASTER.to_owned(), value)
    })
    .await?;
    stage.say(&format!("  an old program is the master: {ROOT}/{SERVICE}/{MASTER}")).await?;
    let flags = ["--layout", "master-normal", "--root", ROOT, "--service", SERVICE];
    stage.command(&format!("server {} --unique-code one --listen 127.0.0.1:0", flags.join(" "))).await?;
    let mut ours = Vec::new();
    for code in ["one", "two"] {
        let server = ["server", "--unique-code", code, "--listen", "127.0.0.1:0"];
        let mut server = Player::start(&connection, &[&server[..], &flags].concat())?;
        let at = said_after(&mut server, "registered at ").await?;
        ensure!(at.contains("/normal"), "{code} is registered at {at}, though there is a master");
        stage.say(&format!("  ours with the code {code} is a normal instance, at {at}")).await?;
        ours.push(server);
    }
    let (answered, failed) = asked(&flags, stage).await?;
    let normal = failed == 0 && answered.len() == 2 && !answered.contains_key(MASTER);
    ensure!(normal, "there are two normal instances, and {answered:?} answered");
    stage.say("  requests go to the normal ones, by whatever algorithm").await?;

    let gone = Instant::now();
    old.end().await;
    let [one, two] = &mut ours[..] else { anyhow::bail!("two were started") };
    let is_master = |line: &str| line.contains("/master in session").then(|| line.to_owned());
    let first = tokio::select! {
        told = said(one, "that it is the master", is_master) => told.map(|_| 0),
        told = said(two, "that it is the master", is_master) => told.map(|_| 1),
    }?;
    let term = said_after(&mut ours[first], &format!("leads {SERVICE} in term ")).await?;
    let took = gone.elapsed();
    let names = ["one", "two"];
    stage
        .say(&format!(
            "  the old program ended: {} is the master {took:.1?} later, and leads in term {term}",
            names[first]
        ))
        .await?;
    ours[first].kill().await?;
    let other = 1 - first;
    let next = said_after(&mut ours[other], &format!("leads {SERVICE} in term ")).await?;
    stage.say(&format!("  killed it: {} leads in term {next}", names[other])).await?;
    let (answered, failed) = asked(&flags, stage).await?;
    let fallback = failed == 0 && answered.keys().eq([MASTER]);
    ensure!(fallback, "the master is alone, and {answered:?} answered");
    stage.say("  it is alone now, and answers itself").await?;
    all_end_well(&mut ours[other..=other]).await?;
    Ok("ours are normal beside an old master, and succeed it".to_owned())
}
