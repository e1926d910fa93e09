//! A client that finds servers, chooses one of them for each request, and goes to another one when one does not answer.

mod ask;
mod outcome;
mod somebody;
mod summary;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args as ClapArgs;
use cli::ending::{self, INTERRUPTED};
use cli::flags::{duration, number, patience};
use cli::output::{complain, conclude, tell};
use cli::signals::Stop;
use loadbalance::{Balancer, Explanation, Filter, PickError, Request};
use proto::ServiceName;
use registry::{Discovery, Source};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval};

use self::somebody::{Limit, Somebody};
use self::summary::Summary;
use crate::choice::Choice;
use crate::connection::Connection;
use crate::output::{one_line, shown};

/// See [`crate::Command::Client`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service to ask
    #[arg(long, value_name = "NAME", default_value = "time")]
    service: ServiceName,

    #[command(flatten)]
    choice: Choice,

    /// How many requests to send; 0 goes on until Ctrl-C
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = number::<u64>(0..=u64::MAX))]
    requests: u64,

    /// From the beginning of one request to that of the next
    #[arg(long, value_name = "TIME", default_value = "1s", allow_hyphen_values = true, value_parser = duration)]
    interval: Duration,

    /// How long one server may take before the next one is asked
    #[arg(long, value_name = "TIME", default_value = "1s", allow_hyphen_values = true, value_parser = patience)]
    timeout: Duration,

    /// How long to wait for ZooKeeper, and for the first server; as long as it takes unless given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = patience)]
    wait: Option<Duration>,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

const EXAMPLES: &str = "\
Examples, with a ZooKeeper on 127.0.0.1:2181 and a server or two (demo server --weight 5):
  demo client --service time --requests 5 --interval 200ms
  demo client --service time --requests 5 --wait 30s
  demo client --algorithm weight-round-robin --requests 70 --interval 0s
  demo client --algorithm url-hash --key '/data/video?id=7' --requests 5 --interval 0s

Beside the old Go programs, which register as an empty node called ip:port:
  demo client --layout flat --dir /go_servers --requests 5

A request fails only when every server was asked, each once, or none of those on the list may be. While nobody is registered at \
all it is not sent: it waits, which is said on stderr once, until somebody is, however long that takes; --requests counts those that were \
sent. With --wait there has to be somebody in that time from its start on, or it ends. Without ZooKeeper the last list is used on. What servers are told \
is timestamp, as old clients say it; their answer ends with its \
line or with the connection. At the end it tells who answered how many requests, beside the share that the algorithm gives by the weights on the last \
list (- where that depends on the key).

Exit codes: 0 all requests were answered; 1 one failed, or there was nobody in time (--wait); 2 not understood (nothing was sent); 130 stopped before \
all were sent, or before the first.";

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.connection.log.start("warn");
    let request = args.choice.request()?;
    let algorithm = args.choice.algorithm;
    let mut stop = Stop::listen()?;
    let keeper = args.connection.keep()?;
    let sessions = keeper.sessions();
    let discovery = args.connection.registry(sessions.clone()).follow(&args.service);
    let balancer = Balancer::builder(algorithm.algorithm())
        .filter(Filter::new("has an address", |instance| instance.data.address.is_some()))
        .follow(args.connection.for_requests(&discovery));
    let mut summary = Summary::default();
    let somebody = Somebody {
        balancer: &balancer,
        service: &args.service,
        connection: &args.connection,
        sessions: &sessions,
        first: args.wait.map(Limit::from_now),
    };
    let asking = Asking { args: &args, request, discovery: &discovery, somebody };
    let asked = tokio::select! {
        asked = asking.run(&mut summary) => Some(asked),
        () = stop.requested() => None,
    };
    // It takes a turn, which nobody misses any more.
    let now = balancer.explain(&request);
    drop(discovery);
    ending::close(keeper).await;
    let stopped = asked.is_none();
    asked.transpose()?;
    let last = match args.json {
        true => one_line(summary.json(algorithm, &now)),
        false => summary.text(&args.service, algorithm, &now),
    };
    conclude(last, &mut stop, stopped).await?;
    Ok(ExitCode::from(code(args.requests, &summary)))
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
    request: Request<'a>,
    discovery: &'a Discovery,
    somebody: Somebody<'a>,
}

impl Asking<'_> {
    async fn run(&self, summary: &mut Summary) -> anyhow::Result<()> {
        let Self { args, .. } = self;
        let balancer = self.somebody.balancer;
        self.ready().await?;
        if args.choice.explain {
            let explained = || match balancer.explain(&self.request) {
                Explanation { error: Some(PickError::Empty), .. } => Err(PickError::Empty),
                explanation => Ok(explanation),
            };
            let explanation = self.somebody.listed(false, explained).await??.to_string();
            explanation.lines().for_each(|line| complain(&shown(line)));
        }
        // An interval of nothing is none.
        let mut ticks = (!args.interval.is_zero()).then(|| interval(args.interval));
        if let Some(ticks) = &mut ticks {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut number = 0;
        while args.requests == 0 || number < args.requests {
            match &mut ticks {
                Some(ticks) => {
                    ticks.tick().await;
                }
                // With nobody who may be asked nothing else waits in this loop, and Ctrl-C would never be seen.
                None => yield_now().await,
            }
            let first = self.somebody.listed(number > 0, || balancer.pick(&self.request)).await?;
            number += 1;
            let outcome = outcome::send(number, first, balancer, self.request, args.timeout).await;
            summary.count(&outcome);
            tell(if args.json { one_line(outcome.json(self.is_live())) } else { outcome.text() }).await?;
        }
        Ok(())
    }

    /// Waits for the first list, no longer than the flags say.
    async fn ready(&self) -> anyhow::Result<()> {
        let Somebody { balancer, service, connection, sessions, .. } = self.somebody;
        let first_list = connection.first_list(sessions, balancer, service);
        match self.args.wait {
            Some(wait) => {
                let problem = self.discovery.problem();
                connection.bounded_first(wait, sessions, "list", &problem, first_list).await?
            }
            None => first_list.await,
        }
    }

    fn is_live(&self) -> bool {
        self.discovery.view().borrow().as_ref().is_some_and(|view| view.source == Source::Live)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::outcome::Outcome;
    use super::*;

    #[test]
    fn the_code_tells_a_failed_request_from_those_that_were_not_sent() {
        let answered = || Ok((proto::InstanceId::parse("a").unwrap(), "noon".to_owned()));
        let failed = || Err(PickError::Tried { candidates: 1 });
        for (wanted, outcomes, expected) in [
            (2, vec![answered(), answered()], 0),
            (2, vec![answered()], 130),
            (2, vec![failed()], 1),
            (1, vec![], 130),
            (0, vec![], 130),
            (0, vec![answered()], 0),
            (0, vec![answered(), failed()], 1),
        ] {
            let mut summary = Summary::default();
            for answered in outcomes {
                summary.count(&Outcome { number: 1, refused: vec![], answered, took: Duration::ZERO });
            }
            assert_eq!(code(wanted, &summary), expected, "of {wanted}: {summary:?}");
        }
    }
}
