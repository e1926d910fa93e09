//! A server behind a message broker, which is found by its ServerUniqueCode and has no address.

mod complaints;
mod hearing;
mod presence;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::Args as ClapArgs;
use cli::ending::{self, Usage};
use cli::flags::number;
use cli::output::{complain, say};
use cli::signals::Stop;
use jiff::Timestamp;
use leader::Lost;
use proto::{NodeData, ServiceName};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::warn;
use zk_session::SessionId;

use self::complaints::Complaints;
use self::hearing::{Heard, Reply, hear};
use self::presence::{DEAF, Happened, Presence};
use super::Flags;
use super::at::Login;
use super::code::{code, made_up};
use super::link::{Link, Message, Sender};
use super::topics::Topics;
use crate::candidate::News as Told;
use crate::connection::Connection;
use crate::output::{one_line, shown};
use crate::registered::News;
use crate::withdrawal::Withdrawal;

/// How long clients have to learn that we are leaving, before nobody answers them any more.
const FAREWELL: Duration = Duration::from_millis(150);

/// See [`crate::Command::MqServer`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service that it is an instance of
    #[arg(long, value_name = "NAME", default_value = "jobs")]
    service: ServiceName,

    /// Its ServerUniqueCode, which is its id within the service as well; made up unless given: a UUID
    #[arg(long, alias = "code", value_name = "CODE", value_parser = code)]
    unique_code: Option<String>,

    /// Its share of the clients; 0 registers it, has it never picked, and lets others answer each hello
    #[arg(long, value_name = "N", default_value_t = NodeData::DEFAULT_WEIGHT, allow_negative_numbers = true, value_parser = number::<u32>(0..=u64::from(u32::MAX)))]
    weight: u32,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    broker: Flags,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

const EXAMPLES: &str = r#"Example, with a ZooKeeper on 127.0.0.1:2181 and a Mosquitto on 127.0.0.1:1883:
  demo mq-server --service jobs &
  demo mq-server --service jobs &
  demo mq-client --service jobs --requests 3

Every instance receives what is sent to the topic, {"serveruniquecode":"…","id":"…","reply_to":"jobs/replies/…","body":"…"}, and the one answers whose code it carries, on reply_to and with the same id; the body of its answer is its code, the time and the body of the request. The others drop it. A hello, {"id":"…","reply_to":"…"} on jobs/hello, is answered by one of them, with its code. It registers once the broker has acknowledged that it listens, deregisters when it is away from the broker for more than 5 s, and registers again when it is back. SIGTERM and Ctrl-C: it deregisters, and answers what came.

Exit codes: 0 stopped; 1 failed, as when the broker refuses it at its start, or does not let it subscribe, or it can never be registered; 2 not understood (nothing was sent)."#;

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.connection.log.start("info");
    if args.connection.registers_by_election() {
        args.connection.can_lead()?;
    }
    let topics = args.broker.topics(&args.service)?;
    let code = args.unique_code.clone().unwrap_or_else(made_up);
    let data = NodeData::behind_broker(&code).with_weight(args.weight);
    let id = data.default_id().map_err(|refusal| Usage(refusal.to_string()))?;
    args.connection.check(&id, &data)?;

    let mut stop = Stop::listen()?;
    // Whoever says hello wants somebody to send to, and one that is drained is to be sent nothing new.
    let hello = (args.weight > 0).then(|| topics.shared_hello());
    let filters = [topics.requests()].into_iter().chain(hello).collect();
    let mut link = Link::start(&args.broker.broker, Login::from_environment(), filters);
    let mut server = Server::new(&args, &topics, &code, link.sender());
    // Registered before it hears anything, it would be picked in vain.
    let stopped = tokio::select! {
        () = stop.requested() => true,
        // Nobody would ever hear of it, so whoever supervises it has to.
        let_in = link.let_in() => match let_in {
            Ok(()) => false,
            Err(why) => bail!("the broker at {} does not let it in: {why}", args.broker.broker),
        },
    };
    let mut failed = None;
    if !stopped {
        server.say(&Event::Listening { code: &code });
        let keeper = args.connection.keep()?;
        let mut presence = Presence::new(&args, &keeper, id, data, link.state());
        loop {
            tokio::select! {
                () = stop.requested() => break,
                message = link.next() => server.receive(&message),
                happened = presence.happens() => match happened? {
                    // Nobody will ever find it.
                    Happened::News(News::Told(Told::Refused(why))) if args.connection.registers_by_election() => {
                        failed = Some(anyhow!("it cannot be registered: {why}"));
                        break;
                    }
                    // Nor will it ever hear anything.
                    Happened::Forbidden(why) => {
                        failed = Some(anyhow!("the broker at {} lets it hear no more: {why}", args.broker.broker));
                        break;
                    }
                    Happened::News(news) => server.news(news, &mut presence, &link),
                    Happened::Leaves(led) => {
                        complain(&format!("away from the broker for {DEAF:?}: not registered until it is back"));
                        led.iter().for_each(|(_, why)| server.lost(*why));
                    }
                    Happened::Left => server.say(&Event::Deregistered),
                },
            }
        }

        // First of all nobody finds it any more.
        link.forget(&topics.shared_hello());
        let (may_be_found, was_told) = (presence.may_be_found(), presence.is_told());
        let (led, leaving) = presence.leave();
        led.iter().for_each(|(_, why)| server.lost(*why));
        let gone = server.meanwhile(&mut link, Withdrawal::all_done_soon(leaving)).await;
        if gone && was_told {
            server.say(&Event::Deregistered);
        }
        if gone && may_be_found {
            server.meanwhile(&mut link, sleep(FAREWELL)).await;
        }
        // Whoever still asks would be answered as long as there are such, and we never ended.
        server.sender.unsubscribe(topics.requests());
        link.ready().iter().for_each(|message| server.receive(message));
        if !server.meanwhile(&mut link, ending::close(keeper)).await {
            warn!("ZooKeeper cannot be reached: what we registered there expires");
        }
    }
    let overrun = link.overrun();
    link.close().await;
    if overrun > 0 {
        complain(&format!("{overrun} messages came faster than they could be looked at, and are lost"));
    }
    server.say(&Event::Stopped);
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// What it has to do with messages, and what it did.
struct Server<'a> {
    args: &'a Args,
    topics: &'a Topics,
    code: &'a str,
    sender: Sender,
    /// A newer server has its code: whoever says hello is to come to that one.
    is_replaced: bool,
    answered: u64,
    dropped: u64,
    complaints: Complaints,
}

/// Something to say.
enum Event<'a> {
    Listening { code: &'a str },
    Registered { path: String, session: SessionId },
    Leads { term: leader::Term },
    LeadsNoMore { why: Lost },
    Answered { id: &'a str },
    Greeted { id: &'a str },
    Deregistered,
    Stopped,
}

impl<'a> Server<'a> {
    fn new(args: &'a Args, topics: &'a Topics, code: &'a str, sender: Sender) -> Self {
        let complaints = Complaints::default();
        Self { args, topics, code, sender, is_replaced: false, answered: 0, dropped: 0, complaints }
    }

    fn receive(&mut self, message: &Message) {
        let answer = |body: &str| format!("{} {:.3} {body}", self.code, Timestamp::now());
        match hear(self.code, self.topics, message, answer) {
            Heard::Dropped => self.dropped += 1,
            Heard::Asked(reply) => {
                if let Some(id) = self.send(reply) {
                    self.answered += 1;
                    self.say(&Event::Answered { id: &id });
                }
            }
            // Some come still before the broker has heard that they are not wanted. Whoever said them asks again.
            Heard::Greeted(_) if self.is_replaced => self.dropped += 1,
            Heard::Greeted(reply) => {
                if let Some(id) = self.send(reply) {
                    self.say(&Event::Greeted { id: &id });
                }
            }
            Heard::NotUnderstood(why) => {
                if let Some(told) = self.complaints.note(&why, Instant::now()) {
                    complain(&shown(&told));
                }
            }
        }
    }

    /// Sends it: the id of what it answers, if there was room for it.
    fn send(&self, reply: Reply) -> Option<String> {
        let sent = self.sender.post(reply.topic, reply.bytes);
        if !sent {
            warn!("more answers than the broker takes: one is lost");
        }
        sent.then_some(reply.id)
    }

    /// Goes on answering until something else is done.
    async fn meanwhile<T>(&mut self, link: &mut Link, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return done,
                message = link.next() => self.receive(&message),
            }
        }
    }

    fn news(&mut self, news: News, presence: &mut Presence<'_>, link: &Link) {
        match news {
            News::Told(Told::Registered(node)) => {
                self.say(&Event::Registered { path: node.path.clone(), session: node.session });
            }
            News::Replaced => {
                self.is_replaced = true;
                link.forget(&self.topics.shared_hello());
                warn!(
                    "a newer server has taken our code; this one answers, too, but no hello, and is not registered"
                );
                if let Some((_, why)) = presence.resign() {
                    self.lost(why);
                }
            }
            News::Told(Told::Leads(leadership)) => {
                self.say(&Event::Leads { term: leadership.term() });
            }
            News::Told(Told::LeadsNoMore { why, .. }) => self.lost(why),
            News::Told(Told::Problem(problem)) => warn!(problem, "it answers, but cannot lead"),
            News::Told(Told::Refused(why)) => warn!(why, "it answers, and is registered no more"),
        }
    }

    fn lost(&self, why: Lost) {
        self.say(&Event::LeadsNoMore { why });
    }

    /// For whoever watches. A server goes on when nobody does.
    fn say(&self, event: &Event<'_>) {
        say(if self.args.json { one_line(self.json(event)) } else { shown(&self.text(event)) });
    }

    fn text(&self, event: &Event<'_>) -> String {
        let service = &self.args.service;
        match event {
            Event::Listening { code } => {
                format!("listening on {} at {} as {code}", self.topics.requests(), self.args.broker.broker)
            }
            Event::Registered { path, session } => format!("registered at {path} in session {session}"),
            Event::Leads { term } => format!("leads {service} in term {term}"),
            Event::LeadsNoMore { why } => format!("leads {service} no more: {why}"),
            Event::Answered { id } => format!("answered {id}"),
            Event::Greeted { id } => format!("said hello to {id}"),
            Event::Deregistered => format!("deregistered from {service}"),
            Event::Stopped => {
                let (answered, dropped, not) = (self.answered, self.dropped, self.complaints.all());
                format!("answered {answered}, dropped {dropped}, not understood {not}")
            }
        }
    }

    fn json(&self, event: &Event<'_>) -> Value {
        match event {
            Event::Listening { code } => {
                json!({ "kind": "listening", "topic": self.topics.requests(), "broker": self.args.broker.broker.to_string(), "code": code })
            }
            Event::Registered { path, session } => {
                json!({ "kind": "registered", "path": path, "session": session.to_string() })
            }
            Event::Leads { term } => json!({ "kind": "leads", "term": term.0 }),
            Event::LeadsNoMore { why } => json!({ "kind": "leads-no-more", "why": why.to_string() }),
            Event::Answered { id } => json!({ "kind": "answered", "id": id }),
            Event::Greeted { id } => json!({ "kind": "greeted", "id": id }),
            Event::Deregistered => json!({ "kind": "deregistered" }),
            Event::Stopped => json!({ "kind": "summary", "summary": {
                "answered": self.answered, "dropped": self.dropped, "not_understood": self.complaints.all(),
            } }),
        }
    }
}
