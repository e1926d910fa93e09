//! Algorithms side by side: who answers how many requests, beside what the weights say.

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::cast::{self, Host};
use super::stage::Stage;
use super::story::PORTS;
use crate::table::table;

/// As many as each client sends: the weights divide it.
const REQUESTS: u32 = 70;

/// What a client is told to choose by.
const CHOICES: [Choice; 3] = [
    Choice { algorithm: "weight-round-robin", key: None },
    Choice { algorithm: "weight-random", key: None },
    Choice { algorithm: "url-hash", key: Some("/data/video?id=7") },
];

struct Choice {
    algorithm: &'static str,
    key: Option<&'static str>,
}

/// The last line of a client.
#[derive(Deserialize)]
struct Line {
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    failed: u32,
    instances: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    instance: String,
    answered: u32,
}

/// How many requests each of the servers has, in their order.
type Counts = [u32; PORTS.len()];

/// One client after the other asks; what must hold of the shares is looked at.
pub(super) async fn are_shown(stage: &mut Stage) -> anyhow::Result<()> {
    let all: u32 = stage.hosts.iter().map(|host| host.weight).sum();
    let by_weight = of_each(stage, |host| REQUESTS * host.weight / all);
    let mut rows = vec![row("the weights say".to_owned(), by_weight)];
    for choice in &CHOICES {
        let counts = asked(stage, choice).await?;
        let Choice { algorithm, key } = choice;
        let by_chance = *algorithm == "weight-random";
        let held = by_chance || if key.is_some() { counts.contains(&REQUESTS) } else { counts == by_weight };
        ensure!(
            held,
            "by {algorithm} the servers answered {counts:?} of {REQUESTS} requests, by weight it is {by_weight:?}"
        );
        rows.push(row([*algorithm, key.unwrap_or_default()].join(" "), counts));
    }
    stage
        .say(&format!(
            "a client asks {REQUESTS} times by each of three algorithms; who answered, beside the weights:"
        ))
        .await?;
    let [first, second, third] = of_each(stage, |host| host.address.to_string());
    for line in table(["", &first, &second, &third], &rows).lines() {
        stage.say(&format!("  {line}")).await?;
    }
    Ok(())
}

/// Something of each server. All of them are there by now.
fn of_each<T: Default>(stage: &Stage, what: impl Fn(&Host) -> T) -> [T; PORTS.len()] {
    std::array::from_fn(|index| stage.hosts.get(index).map(&what).unwrap_or_default())
}

/// What became of the requests of one client.
async fn asked(stage: &mut Stage, choice: &Choice) -> anyhow::Result<Counts> {
    let requests = REQUESTS.to_string();
    let flags =
        ["--requests", &requests, "--interval", "0s", "--timeout", "10s", "--algorithm", choice.algorithm];
    let key = choice.key.map(|key| ["--key", key]);
    let flags: Vec<_> = flags.into_iter().chain(key.into_iter().flatten()).collect();
    let mut client = cast::client(&stage.connection, &stage.service, &flags)?;
    let last = stage.meanwhile(client.last_line()).await?;
    let Line { summary } =
        serde_json::from_str(&last).context("a client did not tell what became of its requests")?;
    ensure!(summary.failed == 0, "{} requests by {} failed", summary.failed, choice.algorithm);
    let answered = |host: &Host| {
        let is_its = |row: &&Row| row.instance == host.address.to_string();
        summary.instances.iter().find(is_its).map_or(0, |row| row.answered)
    };
    Ok(of_each(stage, answered))
}

fn row(what: String, counts: Counts) -> [String; PORTS.len() + 1] {
    let [first, second, third] = counts.map(|count| count.to_string());
    [what, first, second, third]
}
