//! Services behind a message broker, told apart by their ServerUniqueCode.

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::stage::{Stage, all_end_well, said, said_after};
use crate::broker::Mosquitto;
use crate::player::Player;

const CODES: [&str; 3] = ["code-one", "code-two", "code-three"];

/// A line of a client that sent a request.
#[derive(Deserialize)]
struct Line {
    answered: Option<String>,
}

pub(super) async fn show(stage: &Stage) -> anyhow::Result<String> {
    stage.say("services behind a message broker, each message for one of them by its unique code").await?;
    let broker = Mosquitto::start().await.context("there is no Mosquitto for the tour")?;
    let url = broker.url();
    stage.say(&format!("  Mosquitto: started one at {url}")).await?;
    stage.command(&format!("mq-server --service jobs --broker {url} --unique-code {}", CODES[0])).await?;
    let mut servers = Vec::new();
    for code in CODES {
        let flags = ["mq-server", "--service", "jobs", "--broker", &url, "--unique-code", code];
        let mut server = Player::start(&stage.connection, &flags)?;
        said_after(&mut server, "registered at ").await?;
        servers.push(server);
    }
    stage
        .say(&format!("  {} instances are registered without an address: {}", CODES.len(), CODES.join(" ")))
        .await?;
    stage.command(&format!("mq-client --service jobs --broker {url}")).await?;
    let flags = [
        "mq-client",
        "--service",
        "jobs",
        "--broker",
        &url,
        "--json",
        "--requests",
        "0",
        "--interval",
        "50ms",
        // Whoever is killed is gone from the list before; whoever is slow on a loaded machine is not passed over.
        "--timeout",
        "30s",
    ];
    let mut client = Player::start(&stage.connection, &flags)?;
    let first = answerer(&mut client, None).await?;
    for _ in 0..4 {
        let by = answerer(&mut client, None).await?;
        ensure!(by == first, "{first} answered, and then {by}, though {first} is there");
    }
    stage
        .say(&format!("  {first} answers request after request; the others hear them, and drop them"))
        .await?;
    let index = CODES.iter().position(|code| *code == first).context("a stranger answered")?;
    servers[index].kill().await?;
    let next = answerer(&mut client, Some(&first)).await?;
    stage.say(&format!("  killed it: {next} answers now")).await?;
    servers.remove(index);
    ensure!(client.stop().await?.success(), "the client had something to complain of");
    let mut counts = Vec::new();
    for mut server in servers {
        server.ask_to_stop();
        counts.push(
            said(&mut server, "what it counted", |line| line.contains(", dropped ").then(|| line.to_owned()))
                .await?,
        );
        all_end_well(std::slice::from_mut(&mut server)).await?;
    }
    stage.say(&format!("  at the end the two others say: {}", counts.join("; "))).await?;
    Ok("everybody hears a message, and the one whom it is for answers".to_owned())
}

/// Who answered the next request; not this one.
async fn answerer(client: &mut Player, but: Option<&str>) -> anyhow::Result<String> {
    said(client, "who answered", |line| {
        let answered = serde_json::from_str::<Line>(line).ok()?.answered?;
        (Some(&*answered) != but).then_some(answered)
    })
    .await
}
