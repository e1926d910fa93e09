//! An agent that is an instance of a service.

use std::io::{stdin, stdout};
use std::num::NonZeroU16;

use clap::Args as ClapArgs;
use proto::{Address, InstanceId, NodeData, ServiceName};
use registry::{Registration, Status};
use tokio::sync::watch;
use zk_session::Keeper;

use super::Identity;
use super::commands::{self, Command};
use super::events::{Event, Events};
use super::session::{Told, problem};
use crate::connection::Usage;
use crate::ending::{self, Withdrawal};
use crate::flags::number;
use crate::output::chain;
use crate::stop::Stop;

/// See [`super::Role::Register`].
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) who: Identity,

    /// The host that it says it listens on
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    addr: String,

    /// The port that it says it listens on; without one it has no address, and its name as unique code
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = number::<NonZeroU16>(1..=65535))]
    port: Option<NonZeroU16>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { who: Identity { service, name, connection }, addr, port } = args;
    // Checked without a port too: one may be told later.
    let at = |port: NonZeroU16| Address::new(&addr, port.get()).map_err(|error| Usage(error.to_string()));
    at(port.unwrap_or(NonZeroU16::MIN))?;
    let data = match port {
        Some(port) => NodeData::at(at(port)?),
        None => NodeData::behind_broker(name.as_str()),
    };
    connection.check(&name, &data)?;

    let mut stop = Stop::listen()?;
    let mut events = Events::to(stdout())?;
    let mut commands = commands::read(stdin())?;
    events.say(&Event::Ready { pid: std::process::id() });

    let keeper = connection.keep()?;
    let mut state = keeper.sessions().state();
    let registration = connection.registry(keeper.sessions()).announce_as(&service, name.clone(), data)?;
    let mut status = registration.status();
    // It may have been registered already.
    status.mark_changed();
    let mut agent = Agent {
        service,
        name,
        addr,
        events,
        told: Told::default(),
        announced: Announced::Wanted { registration: Box::new(registration), status },
    };
    agent.session(&state.borrow_and_update().clone());
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => break,
            Ok(()) = state.changed() => agent.session(&state.borrow_and_update().clone()),
            news = agent.announced.news() => agent.registration(news),
            command = commands.next() => match command {
                Ok(Command::Quit) => break,
                Ok(command) => agent.obey(command),
                Err(why) => agent.events.error(why),
            },
        }
    }
    agent.end(keeper).await;
    Ok(())
}

struct Agent {
    service: ServiceName,
    name: InstanceId,
    addr: String,
    events: Events,
    told: Told,
    announced: Announced,
}

/// How far this process is an instance.
enum Announced {
    Wanted { registration: Box<Registration>, status: watch::Receiver<Status> },
    Leaving(Withdrawal),
    Gone,
}

/// Something that happened to the registration.
enum News {
    Status(Status),
    Gone,
}

impl Announced {
    /// The next thing that happens to the registration.
    ///
    /// # Cancel safety
    ///
    /// Nothing is missed when this is dropped before it is ready.
    async fn news(&mut self) -> News {
        match self {
            Self::Wanted { status, .. } => {
                if status.changed().await.is_ok() {
                    return News::Status(status.borrow_and_update().clone());
                }
                // The last word was said before.
                std::future::pending().await
            }
            Self::Leaving(withdrawal) => {
                withdrawal.done().await;
                News::Gone
            }
            Self::Gone => std::future::pending().await,
        }
    }

    /// Starts to leave, if that has not begun.
    fn leave(&mut self) {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Wanted { registration, .. } => Self::Leaving(Withdrawal::start(*registration)),
            left => left,
        };
    }
}

impl Agent {
    fn session(&mut self, state: &zk_session::State) {
        for event in self.told.change(state) {
            self.events.say(&event);
        }
        if let Some(why) = problem(state) {
            self.events.error(why);
        }
    }

    fn registration(&mut self, news: News) {
        match news {
            News::Status(Status::Registered { path, session }) => self.events.say(&Event::Registered {
                service: self.service.clone(),
                id: self.name.clone(),
                path,
                session_id: session.to_string(),
            }),
            News::Status(Status::Registering { problem: Some(problem) }) => {
                self.events.error(format!("cannot register: {}", chain(&problem)));
            }
            News::Status(Status::Replaced) => {
                self.events.error(registry::Error::Replaced.to_string());
            }
            News::Status(Status::Registering { problem: None } | Status::Withdrawn) => {}
            News::Gone => self.deregistered(),
        }
    }

    fn deregistered(&mut self) {
        self.announced = Announced::Gone;
        self.events.say(&Event::Deregistered { service: self.service.clone(), id: self.name.clone() });
    }

    fn obey(&mut self, command: Command) {
        let refused = match (command, &mut self.announced) {
            (Command::Resign, _) => Err("resign is for those who stand for election".to_owned()),
            (Command::Deregister, Announced::Wanted { .. }) => {
                self.announced.leave();
                Ok(())
            }
            (Command::Update { port, weight }, Announced::Wanted { registration, .. }) => {
                update(registration, &self.addr, port, weight)
            }
            (_, Announced::Leaving(_) | Announced::Gone) => Err("deregistered before".to_owned()),
            // The end is not ours to begin.
            (Command::Quit, Announced::Wanted { .. }) => Ok(()),
        };
        if let Err(why) = refused {
            self.events.error(format!("not done: {why}"));
        }
    }

    /// Takes the instance away, closes the session, and says so.
    async fn end(mut self, keeper: Keeper) {
        self.announced.leave();
        let mut gone = true;
        if let Announced::Leaving(withdrawal) = &mut self.announced {
            gone = withdrawal.done_soon().await;
            if gone {
                self.deregistered();
            }
        }
        let closed = ending::close(keeper).await;
        if !gone && closed {
            // The node went with its session.
            self.deregistered();
        }
        if closed {
            if let Some(event) = self.told.closed() {
                self.events.say(&event);
            }
        } else {
            self.events.error("ZooKeeper cannot be reached: the session, and what it registered, expires");
        }
        self.events.end(closed).await;
    }
}

fn update(
    registration: &Registration,
    addr: &str,
    port: Option<NonZeroU16>,
    weight: Option<u32>,
) -> Result<(), String> {
    let address = port.map(|port| Address::new(addr, port.get())).transpose();
    let address = address.map_err(|error| error.to_string())?;
    let change = |data: &mut NodeData| {
        data.weight = weight.unwrap_or(data.weight);
        data.address = address.or_else(|| data.address.take());
    };
    registration.update(change).map_err(|error| chain(&error))
}
