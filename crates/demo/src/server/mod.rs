//! A time server that registers itself.

mod answering;
mod news;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args as ClapArgs;
use cli::ending::{self, Usage};
use cli::flags::{number, socket};
use cli::listening::listen;
use cli::output::say;
use cli::signals::Stop;
use leader::Lost;
use proto::{Address, InstanceId, NodeData, ServiceName};
use tokio::time::sleep;
use tracing::warn;

use self::answering::Answering;
use self::news::News as Said;
use crate::candidate::News as Told;
use crate::connection::Connection;
use crate::output::one_line;
use crate::registered::{News, Registered};
use crate::withdrawal::Withdrawal;

/// How long clients have to learn that we are leaving, before connections are refused.
const FAREWELL: Duration = Duration::from_millis(150);

/// See [`crate::Command::Server`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes any that is free
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8897", value_parser = socket)]
    listen: SocketAddr,

    /// The host name or IP that clients reach us by, where that is not the one that we listen on
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,

    /// The service that it is an instance of
    #[arg(long, value_name = "NAME", default_value = "time")]
    service: ServiceName,

    /// Its id within the service; its address unless given
    #[arg(long, value_name = "ID")]
    id: Option<InstanceId>,

    /// Its share of the requests; 0 registers it and has it never picked
    #[arg(long, value_name = "N", default_value_t = NodeData::DEFAULT_WEIGHT, allow_negative_numbers = true, value_parser = number::<u32>(0..=u64::from(u32::MAX)))]
    weight: u32,

    /// Its ServerUniqueCode: who it is, for messages through a broker and for programs of the master-normal layout
    #[arg(long, alias = "code", value_name = "CODE")]
    unique_code: Option<String>,

    /// Where it stands; the same as --meta zone=ZONE
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,

    /// Whatever else is worth knowing; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = entry)]
    meta: Vec<(String, String)>,

    /// Do not stand for election; with --layout flat there is none, with --layout master-normal one is registered by it
    #[arg(long)]
    no_campaign: bool,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

const EXAMPLES: &str = "\
Example, with a ZooKeeper on 127.0.0.1:2181:
  demo server --listen 127.0.0.1:8897 --service time --weight 2 --zone a &
  demo client --service time --requests 3

Beside the old Go time servers and clients, as an empty node called by its address:
  demo server --layout flat --dir /go_servers --listen 127.0.0.1:8897

Beside the programs of the old Go framework, the first as the master, the others as normal instances:
  demo server --layout master-normal --root /micro-service --service testserver --unique-code cacd3aa4 --listen 127.0.0.1:50001

It answers each connection with one line, its address and the time, whether or not anything is said to it, and closes it. It starts without ZooKeeper, and \
registers when that is there. It stands for election among the servers of its service, and says when it leads (see demo master). \
SIGTERM and Ctrl-C: it steps down, deregisters, finishes what it began, and ends with 0.

Exit codes: 0 stopped; 1 failed, as when the port is taken or it can never be registered; 2 not understood (nothing was sent).";

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.connection.log.start("info");
    args.check_layout()?;
    // What can be refused is refused before a port is taken, which may still be unknown.
    let any = args.address(args.listen.port().max(1))?;
    args.connection.check(&args.id(&args.data(any.clone()))?, &args.data(any))?;

    let mut stop = Stop::listen()?;
    let listener = listen("--listen", args.listen).await?;
    let address = args.address(listener.local_addr()?.port())?;
    let data = args.data(address.clone());
    let id = args.id(&data)?;
    let answering = Answering::start(listener, &address);
    args.say(&Said::Listening { at: &address });

    let keeper = args.connection.keep()?;
    let campaign = !args.no_campaign;
    let mut registered = Registered::start(&args.connection, &keeper, &args.service, id, data, campaign)?;
    let mut refused = None;
    loop {
        tokio::select! {
            () = stop.requested() => break,
            news = registered.news() => match news {
                News::Replaced => {
                    warn!("a newer server has taken our id; this one answers, but is not registered and will not lead");
                    // Nobody finds it any more, so nobody is to be led by it.
                    if let Some((_, why)) = registered.resign() {
                        args.lost(why);
                    }
                }
                // Nobody will ever find it: whoever supervises it has to know.
                News::Told(Told::Refused(why)) if args.connection.registers_by_election() => {
                    refused = Some(why);
                    break;
                }
                News::Told(news) => args.told(news),
            },
        }
    }

    // First of all it leads no more: the next one need not wait for the rest.
    let was_told = registered.is_told();
    let (led, leaving) = registered.leave();
    led.iter().for_each(|(_, why)| args.lost(*why));
    if Withdrawal::all_done_soon(leaving).await {
        if was_told {
            args.say(&Said::Deregistered);
        }
        sleep(FAREWELL).await;
    }
    let ((), closed) = tokio::join!(answering.finish(), ending::close(keeper));
    if !closed {
        warn!("ZooKeeper cannot be reached: what we registered there expires");
    }
    args.say(&Said::Stopped);
    match refused {
        Some(why) => bail!("it cannot be registered: {why}"),
        None => Ok(ExitCode::SUCCESS),
    }
}

impl Args {
    /// What cannot be so in this layout, besides what its nodes cannot store.
    fn check_layout(&self) -> Result<(), Usage> {
        if !self.connection.registers_by_election() {
            return Ok(());
        }
        let refuse = |what: &str| {
            Err(Usage(format!(
                "{what}: in the master-normal layout a server is registered by standing for election, under the name of its node"
            )))
        };
        match () {
            () if self.no_campaign => refuse("--no-campaign cannot be"),
            () if self.id.is_some() => refuse("--id cannot be stored"),
            () => self.connection.can_lead(),
        }
    }

    fn told(&self, news: Told) {
        match news {
            Told::Leads(leadership) => {
                self.say(&Said::Leads { term: leadership.term() });
            }
            Told::LeadsNoMore { why, .. } => self.lost(why),
            Told::Registered(node) => {
                self.say(&Said::Registered { path: &node.path, session: node.session });
            }
            Told::Problem(problem) if self.connection.registers_by_election() => {
                warn!(problem, "it serves, but is not registered, or cannot lead");
            }
            Told::Problem(problem) => warn!(problem, "it serves, but cannot lead"),
            Told::Refused(why) => warn!(why, "it serves, and stands for election no more"),
        }
    }

    fn lost(&self, why: Lost) {
        self.say(&Said::LeadsNoMore { why });
    }

    /// For whoever watches. A server goes on when nobody does.
    fn say(&self, news: &Said<'_>) {
        say(if self.json { one_line(news.json(&self.service)) } else { news.text(&self.service) });
    }

    fn address(&self, port: u16) -> Result<Address, Usage> {
        let ip = self.listen.ip();
        let host = match &self.advertise {
            Some(host) => host.clone(),
            None if ip.is_unspecified() => {
                return Err(Usage(format!(
                    "--listen {} tells clients nothing: say by --advertise HOST how they reach this machine",
                    self.listen
                )));
            }
            None => ip.to_string(),
        };
        Address::new(&host, port).map_err(|refusal| Usage(refusal.to_string()))
    }

    fn data(&self, address: Address) -> NodeData {
        let data = NodeData { unique_code: self.unique_code.clone(), ..NodeData::at(address) };
        let zone = self.zone.iter().map(|zone| ("zone".to_owned(), zone.clone()));
        let metadata = self.meta.iter().cloned().chain(zone).collect();
        NodeData { metadata, ..data.with_weight(self.weight) }
    }

    fn id(&self, data: &NodeData) -> Result<InstanceId, Usage> {
        let default = || data.default_id().map_err(|refusal| Usage(refusal.to_string()));
        self.id.clone().map_or_else(default, Ok)
    }
}

fn entry(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("accepted: a key and a value, as in version=1.2".to_owned()),
    }
}
