//! A client of servers behind a message broker, which sticks to the one it was given.

mod answers;
mod exchange;
mod finding;
mod outcome;
mod sticking;

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args as ClapArgs;
use cli::ending::{self, INTERRUPTED, Usage};
use cli::flags::{duration, number, patience};
use cli::output::{complain, conclude, tell};
use cli::signals::Stop;
use cli::zookeeper::Layout;
use loadbalance::{Balancer, Filter};
use proto::ServiceName;
use registry::Discovery;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::exchange::{Exchange, Why};
use self::finding::{Discovered, Finding, HELLOS};
use self::outcome::{Outcome, Summary};
use super::Flags;
use super::at::Login;
use super::code::made_up;
use super::link::Link;
use crate::choice::Choice;
use crate::connection::Connection;
use crate::output::{one_line, shown, trust};

/// See [`crate::Command::MqClient`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service to ask
    #[arg(long, value_name = "NAME", default_value = "jobs")]
    service: ServiceName,

    #[command(flatten)]
    choice: Choice,

    /// Ask nobody but the broker: say hello on the topic, and send to whoever answers; needs no ZooKeeper
    #[arg(long, conflicts_with_all = ["algorithm", "key", "explain"])]
    hello: bool,

    /// How many requests; 0 goes on until Ctrl-C
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = number::<u64>(0..=u64::MAX))]
    requests: u64,

    /// From the beginning of one request to that of the next
    #[arg(long, value_name = "TIME", default_value = "1s", allow_hyphen_values = true, value_parser = duration)]
    interval: Duration,

    /// How long the broker may take for a request, and then the server, before the next one is asked
    #[arg(long, value_name = "TIME", default_value = "1s", allow_hyphen_values = true, value_parser = patience)]
    timeout: Duration,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    broker: Flags,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

const EXAMPLES: &str = "\
Examples, with a ZooKeeper on 127.0.0.1:2181, a Mosquitto on 127.0.0.1:1883 and a server or two (demo mq-server):
  demo mq-client --service jobs --requests 5 --interval 200ms
  demo mq-client --service jobs --algorithm weight-random --requests 5
  demo mq-client --service jobs --hello --requests 5

It picks a server once, by the algorithm, and sends to its code until that is gone from the list or does not answer in time: then \
it picks another one, for the same request and those that follow. A request fails when nobody is left, or when the broker is away \
for too long. At the end it tells who answered how many.

Exit codes: 0 all requests were answered; 1 one failed; 2 not understood (nothing was sent); 130 stopped before all \
were sent, or before the first.";

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.connection.log.start("warn");
    let topics = args.broker.topics(&args.service)?;
    if args.connection.place.layout == Layout::Flat && !args.hello {
        return Err(Usage(
            "the flat layout has no place for a ServerUniqueCode: --layout native, --layout master-normal and --hello are accepted"
                .to_owned(),
        )
        .into());
    }
    let mut stop = Stop::listen()?;
    let client = made_up();
    let start = || {
        let link = Link::start(&args.broker.broker, Login::from_environment(), vec![topics.replies(&client)]);
        Exchange::new(link, topics.clone(), client.clone(), args.timeout)
    };
    let mut summary = Summary::default();
    if args.hello {
        let asking = Asking { args: &args, discovery: None };
        let mut exchange = start();
        let asked = tokio::select! {
            asked = asking.run(&mut exchange, Finding::Hello(None), &mut summary) => Some(asked),
            () = stop.requested() => None,
        };
        let ignored = exchange.close().await;
        let stopped = asked.is_none();
        asked.transpose()?;
        conclude(args.last(&summary, "hello", ignored), &mut stop, stopped).await?;
        return Ok(ExitCode::from(code(args.requests, &summary)));
    }

    let request = args.choice.request()?;
    let algorithm = args.choice.algorithm;
    let keeper = args.connection.keep()?;
    let sessions = keeper.sessions();
    let discovery = args.connection.registry(sessions.clone()).follow(&args.service);
    let balancer = Balancer::builder(algorithm.algorithm())
        .filter(Filter::new("has a unique code", |instance| instance.data.unique_code.is_some()))
        .follow(args.connection.for_requests(&discovery));
    let mut exchange = start();
    let asking = Asking { args: &args, discovery: Some(&discovery) };
    let finding = Finding::Discovery(Discovered {
        balancer: &balancer,
        request,
        lists: discovery.instances(),
        patience: args.timeout,
        stuck_to: None,
        told: false,
    });
    let asked = tokio::select! {
        asked = async {
            args.connection.first_list(&sessions, &balancer, &args.service).await?;
            if args.choice.explain {
                let explanation = balancer.explain(&request).to_string();
                explanation.lines().for_each(|line| complain(&shown(line)));
            }
            asking.run(&mut exchange, finding, &mut summary).await
        } => Some(asked),
        () = stop.requested() => None,
    };
    drop(discovery);
    let (ignored, _) = tokio::join!(exchange.close(), ending::close(keeper));
    let stopped = asked.is_none();
    asked.transpose()?;
    conclude(args.last(&summary, algorithm.as_str(), ignored), &mut stop, stopped).await?;
    Ok(ExitCode::from(code(args.requests, &summary)))
}

impl Args {
    /// The last line.
    fn last(&self, summary: &Summary, by: &str, ignored: answers::Ignored) -> String {
        match self.json {
            true => one_line(summary.json(by, ignored)),
            false => summary.text(&self.service, by, ignored),
        }
    }
}

/// What the program ends with, when so many requests were wanted, or with 0 whatever comes until it is stopped.
fn code(wanted: u64, summary: &Summary) -> u8 {
    match () {
        () if !summary.all_answered() => 1,
        () if summary.requests() < wanted.max(1) => INTERRUPTED,
        () => 0,
    }
}

/// What all requests have in common.
struct Asking<'a> {
    args: &'a Args,
    discovery: Option<&'a Discovery>,
}

impl Asking<'_> {
    async fn run(
        &self,
        exchange: &mut Exchange,
        mut finding: Finding<'_>,
        summary: &mut Summary,
    ) -> anyhow::Result<()> {
        let args = self.args;
        // An interval of nothing is none.
        let mut ticks = (!args.interval.is_zero()).then(|| interval(args.interval));
        if let Some(ticks) = &mut ticks {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut number = 0;
        while args.requests == 0 || number < args.requests {
            match &mut ticks {
                Some(ticks) => {
                    exchange.meanwhile(ticks.tick()).await;
                }
                // With nobody to ask nothing else may wait in this loop, and Ctrl-C would never be seen.
                None => tokio::task::yield_now().await,
            }
            number += 1;
            let outcome = send(number, exchange, &mut finding).await;
            summary.count(&outcome);
            let line = if args.json { one_line(outcome.json(self.source())) } else { outcome.text() };
            exchange.meanwhile(tell(line)).await?;
        }
        Ok(())
    }

    fn source(&self) -> Option<&'static str> {
        let view = self.discovery?.view();
        let source = view.borrow().as_ref().map_or("stale", |view| trust(view.source));
        Some(source)
    }
}

/// Sends a request to the one before, and else to one after the other until one answers or nobody is left.
async fn send(number: u64, exchange: &mut Exchange, finding: &mut Finding<'_>) -> Outcome {
    let begin = Instant::now();
    let (mut tried, mut refused, mut hellos) = (HashSet::new(), Vec::new(), HELLOS);
    let answered = loop {
        let code = match finding.whom(exchange, &tried, &mut hellos).await {
            Ok(code) => code,
            Err(why) => break Err(why),
        };
        let body = format!("request {number}");
        let said = tokio::select! {
            // What was done is not to be done again.
            biased;
            said = exchange.ask(&code, &body) => said,
            () = finding.gone(&code) => Err(Why::Instance("gone".to_owned())),
        };
        match said {
            Ok(answer) => break Ok((code, answer.body)),
            // Nobody else would have got it.
            Err(Why::Broker(why)) => break Err(why),
            Err(Why::Instance(why)) => {
                finding.failed();
                tried.insert(code.clone());
                refused.push((code, why));
            }
        }
    };
    Outcome { number, refused, answered, took: begin.elapsed() }
}
