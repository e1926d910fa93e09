//! A node that joins a cluster over TCP, or starts one as its master.

mod entering;
mod news;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::Args as ClapArgs;
use cli::ending::{INTERRUPTED, Usage};
use cli::flags::{number, patience};
use cli::listening::listen;
use cli::log::Verbosity;
use cli::output::{complain, say};
use cli::signals::Stop;
use cluster::{Address, Answer, Limits, Member, Node, arrivals};

use self::entering::{Failed, enter, is_own};
use self::news::{News, member_as_json, turned_away};
use crate::output::one_line;
use crate::table::table;

/// See [`crate::Command::Node`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The port to listen on; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8001, allow_negative_numbers = true, value_parser = number::<u16>(0..=65_535))]
    myport: u16,

    /// The IP address to listen on and to tell others
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_parser = ip)]
    myip: IpAddr,

    /// Any member of the cluster to join
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    clusterip: Address,

    /// Start as the master of a new cluster when the other one cannot be reached
    #[arg(long, alias = "makeMasterOnError")]
    make_master_on_error: bool,

    /// How long to try to reach the cluster
    #[arg(long, value_name = "TIME", default_value = "10s", allow_hyphen_values = true, value_parser = patience)]
    wait: Duration,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    log: Verbosity,
}

/// So many ids are drawn before a cluster that has them all is believed to refuse this node.
const DRAWS: usize = 5;

const EXAMPLES: &str = r#"Example, in three terminals:
  demo node --myport 8001 --clusterip 127.0.0.1:8001 --make-master-on-error   the first one, as the master
  demo node --myport 8002 --clusterip 127.0.0.1:8001                          joins it
  demo node --myport 8003 --clusterip 127.0.0.1:8002                          joins by any member

It listens, draws an id, and sends one JSON object to the member at --clusterip, which answers with one:
  {"source":{"nodeId":82381143,"nodeIpAddr":"127.0.0.1","Port":"8002"},"dest":{"nodeId":-1,"nodeIpAddr":"127.0.0.1","Port":"8001"},"message":"..."}
Once it belongs to a cluster it answers those who join by it, and says each; who connects before that waits. A node knows those that joined by it, and the one that it joined by. When nobody is reached within --wait it starts as the master with --make-master-on-error (or --makeMasterOnError), and ends with 1 without. When another node has its id in the cluster it draws another one, and says again where it listens. A member that refuses it otherwise was reached: it ends with 1 either way. Nobody is authenticated. SIGTERM and Ctrl-C: it lists the members that it knows.

Exit codes: 0 stopped as a member; 1 no cluster was reached or it let this node not in, or the port is taken; 2 not understood (nothing was sent); 130 stopped before it belonged to a cluster."#;

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.myip.is_unspecified() {
        return Err(Usage(format!(
            "--myip {} tells others nothing; accepted: an IP address of this machine that others reach it by",
            args.myip
        ))
        .into());
    }
    args.log.start("error");
    let mut stop = Stop::listen()?;
    let at = SocketAddr::new(args.myip, args.myport);
    let listener = listen("--myport", at).await?;
    let at = listener.local_addr()?;
    let mut me = Node::draw(Address::new(&at.ip().to_string(), at.port())?);
    args.say(&News::Listens(me.clone()));

    // Who connects meanwhile waits: whoever is no member yet lets nobody in.
    let entered = tokio::select! {
        entered = args.enter(&mut me, at) => entered?,
        () = stop.requested() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let (member, mut turned) = Member::start(listener, me.clone(), Limits::default());
    let by = entered.as_ref().map(|answer| answer.from.clone());
    let joined_by = by.filter(|by| match member.remember(by) {
        Ok(()) => true,
        Err(why) => {
            complain(&format!("{by} will not be listed: {why}"));
            false
        }
    });
    args.say(&entered.map_or(News::Master, News::Joined));

    let mut told: Arc<[Node]> = [me].into_iter().chain(joined_by.clone()).collect();
    let mut members = member.members();
    // Some may have come while this node was joining itself.
    members.mark_changed();
    loop {
        tokio::select! {
            () = stop.requested() => break,
            // An error would mean that the member is gone, and it is ours.
            _ = members.changed() => {}
            Some(turned) = turned.recv() => complain(&turned_away(&turned)),
        }
        args.tell_arrivals(&mut told, &members.borrow_and_update().clone());
    }
    drop(member);
    let all = members.borrow().clone();
    args.tell_arrivals(&mut told, &all);
    args.list(&all, joined_by.as_ref());
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// Joins the cluster, as another node when its id is taken: by whose answer, or nobody's when this node is the first of a new one.
    async fn enter(&self, me: &mut Node, at: SocketAddr) -> anyhow::Result<Option<Answer>> {
        let failed = if is_own(&self.clusterip, at).await {
            Failed::Alone
        } else {
            match self.draw_and_enter(me).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(failed) => failed,
            }
        };
        let there = &self.clusterip;
        match (failed, self.make_master_on_error) {
            (Failed::Alone, true) => Ok(None),
            (Failed::Unreached(why), true) => {
                complain(&format!("no cluster was reached at {there} within {:?}: {why}", self.wait));
                Ok(None)
            }
            (Failed::Alone, false) => bail!(
                "{there} is this node's own address, so no cluster can be there; --make-master-on-error starts one"
            ),
            (Failed::Unreached(why), false) => bail!(
                "no cluster was reached at {there} within {:?}: {why}; --make-master-on-error starts one",
                self.wait
            ),
            (Failed::Refused(why) | Failed::IdTaken(why), _) => {
                bail!("the cluster is there, and does not let this node in: {why}")
            }
        }
    }

    /// Ids are drawn at random, so another one is free when nobody else had the same luck.
    async fn draw_and_enter(&self, me: &mut Node) -> Result<Answer, Failed> {
        for _ in 1..DRAWS {
            match enter(me, &self.clusterip, self.wait).await {
                Err(Failed::IdTaken(why)) => {
                    *me = Node::draw(me.address().clone());
                    complain(&format!("{why}; this is node {} now", me.id()));
                    self.say(&News::Listens(me.clone()));
                }
                decided => return decided,
            }
        }
        enter(me, &self.clusterip, self.wait).await
    }

    fn tell_arrivals(&self, told: &mut Arc<[Node]>, now: &Arc<[Node]>) {
        for arrival in arrivals(told, now) {
            self.say(&News::Arrived { arrival, members: now.len() });
        }
        *told = Arc::clone(now);
    }

    /// Everybody who is known, at the end.
    fn list(&self, members: &[Node], joined_by: Option<&Node>) {
        let how = |node: &Node| match () {
            () if members.first() == Some(node) => "this node",
            () if joined_by == Some(node) => "this node joined by it",
            () => "joined by this node",
        };
        if self.json {
            // As one, for there can be more members than lines may wait for a reader.
            let lines: Vec<_> =
                members.iter().map(|node| one_line(member_as_json(node, how(node)))).collect();
            say(lines.join("\n"));
        } else {
            let row = |node: &Node| [node.id().to_string(), node.address().to_string(), how(node).to_owned()];
            let rows: Vec<_> = members.iter().map(row).collect();
            say(table(["NODE", "ADDRESS", "HOW"], &rows));
        }
    }

    /// For whoever watches. A node goes on when nobody does.
    fn say(&self, news: &News) {
        say(if self.json { one_line(news.json()) } else { news.text() });
    }
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "accepted: an IP address, as in 127.0.0.1 or ::1".to_owned())
}
