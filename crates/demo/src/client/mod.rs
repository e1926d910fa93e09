//! A client that finds servers, asks them in turn, and goes to another one when one does not answer.

mod ask;
mod rotation;

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args as ClapArgs;
use proto::{InstanceId, ServiceName};
use registry::{Discovery, Source};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use zk_session::Sessions;

use self::ask::ask;
use self::rotation::Rotation;
use crate::connection::Connection;
use crate::ending;
use crate::flags::{duration, number, patience};
use crate::logging;
use crate::output::{complain, one_line, print, shown};
use crate::stop::Stop;

/// How long to wait for the first list in silence.
const SOON: Duration = Duration::from_millis(500);

/// See [`crate::Command::Client`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service to ask
    #[arg(long, value_name = "NAME", default_value = "time")]
    service: ServiceName,

    /// How many requests; 0 goes on until Ctrl-C
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = number::<u64>(0..=u64::MAX))]
    requests: u64,

    /// From the begin of one request to that of the next
    #[arg(long, value_name = "TIME", default_value = "1s", allow_hyphen_values = true, value_parser = duration)]
    interval: Duration,

    /// How long one server may take before the next one is asked
    #[arg(long, value_name = "TIME", default_value = "1s", allow_hyphen_values = true, value_parser = patience)]
    timeout: Duration,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Example, with a ZooKeeper on 127.0.0.1:2181 and a server or two (demo server):
  demo client --service time --requests 5 --interval 200ms

A request fails only when every server was asked, each once. Without ZooKeeper the last list is used on. \
It ends with 1 when a request failed.";

/// What became of one request.
struct Request {
    number: u64,
    /// Those who did not answer, and why, in the order of the tries.
    refused: Vec<(InstanceId, String)>,
    answered: Option<(InstanceId, String)>,
    took: Duration,
}

/// What became of all of them.
#[derive(Default)]
struct Summary {
    requests: u64,
    retries: u64,
    failed: u64,
    answered: BTreeMap<String, u64>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::start("warn", args.connection.verbose);
    let mut stop = Stop::listen()?;
    let keeper = args.connection.keep()?;
    let discovery = args.connection.registry(keeper.sessions()).follow(&args.service);
    let mut summary = Summary::default();
    let sessions = keeper.sessions();
    let asked = tokio::select! {
        asked = ask_all(&args, &discovery, &sessions, &mut summary) => asked,
        () = stop.requested() => Ok(()),
    };
    drop(discovery);
    ending::close(keeper).await;
    asked?;
    print(if args.json { one_line(summary.json()) } else { summary.text(&args.service) })?;
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask_all(
    args: &Args,
    discovery: &Discovery,
    sessions: &Sessions,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    if timeout(SOON, discovery.ready()).await.is_err() {
        let why = crate::connection::problem(sessions);
        complain(&format!("waiting for the first list of {} from {}{why}", args.service, args.connection.zk));
        discovery.ready().await?;
        complain("the first list is here");
    }
    let mut rotation = Rotation::default();
    // An interval of nothing is none.
    let mut ticks = (!args.interval.is_zero()).then(|| interval(args.interval));
    if let Some(ticks) = &mut ticks {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut number = 0;
    while args.requests == 0 || number < args.requests {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        number += 1;
        let request = request(number, args, discovery, &mut rotation).await;
        summary.count(&request);
        print(if args.json { one_line(request.json(discovery)) } else { request.text(&args.service) })?;
    }
    Ok(())
}

/// Asks one after the other until one answers. The list is looked at before each try: it may have become better.
async fn request(number: u64, args: &Args, discovery: &Discovery, rotation: &mut Rotation) -> Request {
    let begin = Instant::now();
    let (list, mut tried, mut refused) = (discovery.instances(), HashSet::new(), Vec::new());
    let mut answered = None;
    loop {
        let now = list.borrow().clone().unwrap_or_default();
        let Some((id, address)) = rotation.next(&now, &tried) else { break };
        match ask(&address, args.timeout).await {
            Ok(line) => {
                answered = Some((id, line));
                break;
            }
            Err(why) => refused.push((id.clone(), why)),
        }
        tried.insert(id);
    }
    Request { number, refused, answered, took: begin.elapsed() }
}

impl Request {
    fn text(&self, service: &ServiceName) -> String {
        let mut text = format!("{:>4}  ", self.number);
        match &self.answered {
            Some((_, line)) => text.push_str(line),
            None if self.refused.is_empty() => {
                text.push_str(&format!("FAILED: no instance of {service} is registered"));
            }
            None => text.push_str("FAILED: nobody answered"),
        }
        for (id, why) in &self.refused {
            text.push_str(&format!("  [{}: {why}]", shown(id.as_str())));
        }
        text
    }

    fn json(&self, discovery: &Discovery) -> Value {
        let refused: Vec<_> =
            self.refused.iter().map(|(id, why)| json!({ "instance": id, "why": why })).collect();
        let stale = discovery.view().borrow().as_ref().is_none_or(|view| view.source != Source::Live);
        json!({
            "request": self.number,
            "answered": self.answered.as_ref().map(|(id, _)| id),
            "line": self.answered.as_ref().map(|(_, line)| line),
            "refused": refused,
            "took_ms": self.took.as_secs_f64() * 1000.0,
            "source": if stale { "stale" } else { "live" },
        })
    }
}

impl Summary {
    fn count(&mut self, request: &Request) {
        self.requests += 1;
        match &request.answered {
            Some((id, _)) => {
                *self.answered.entry(id.to_string()).or_default() += 1;
                self.retries += request.refused.len() as u64;
            }
            None => {
                self.failed += 1;
                self.retries += request.refused.len().saturating_sub(1) as u64;
            }
        }
    }

    fn text(&self, service: &ServiceName) -> String {
        let Self { requests, retries, failed, answered } = self;
        let shares: Vec<_> = answered.iter().map(|(id, many)| format!("{}: {many}", shown(id))).collect();
        let shares = if shares.is_empty() { "nobody".to_owned() } else { shares.join(", ") };
        format!("{requests} requests to {service}, {failed} failed, {retries} retries; answered by {shares}")
    }

    fn json(&self) -> Value {
        let Self { requests, retries, failed, answered } = self;
        json!({ "summary": { "requests": requests, "failed": failed, "retries": retries, "answered": answered } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_answers_retries_and_failures() {
        let id = |name: &str| InstanceId::parse(name).unwrap();
        let refused = |names: &[&str]| names.iter().map(|name| (id(name), "refused".to_owned())).collect();
        let request = |refused, answered: Option<&str>| Request {
            number: 1,
            refused,
            answered: answered.map(|name| (id(name), "line".to_owned())),
            took: Duration::ZERO,
        };
        let mut summary = Summary::default();
        summary.count(&request(refused(&[]), Some("a")));
        summary.count(&request(refused(&["b", "c"]), Some("a")));
        summary.count(&request(refused(&["a"]), Some("b")));
        summary.count(&request(refused(&["a", "b"]), None));
        summary.count(&request(refused(&[]), None));
        let service = ServiceName::parse("time").unwrap();
        assert_eq!(summary.text(&service), "5 requests to time, 2 failed, 4 retries; answered by a: 2, b: 1");
        let answered = json!({"a": 2, "b": 1});
        let expected = json!({"summary": {"requests": 5, "failed": 2, "retries": 4, "answered": answered}});
        assert_eq!(summary.json(), expected);
    }
}
