//! An agent that is an instance of a service.

use std::io::stdin;

use clap::Args as ClapArgs;
use cli::ending;
use cli::output::chain;
use cli::signals::Stop;
use proto::{InstanceId, ServiceName};
use registry::{Registration, Status};
use tokio::sync::watch;
use zk_session::Keeper;

use super::Identity;
use super::commands::{self, Command};
use super::events::Event;
use super::place::Place;
use super::voice::Voice;
use crate::withdrawal::Withdrawal;

/// See [`super::Role::Register`].
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    pub(super) who: Identity,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { who: Identity { service, name, connection }, place } = args;
    let data = place.data(&name)?;
    connection.announces()?;
    connection.check(&name, &data)?;

    let mut stop = Stop::listen()?;
    let mut commands = commands::read(stdin())?;
    let voice = Voice::begin()?;

    let keeper = connection.keep()?;
    let mut state = keeper.sessions().state();
    let registration = connection.registry(keeper.sessions()).announce_as(&service, name.clone(), data)?;
    let mut status = registration.status();
    // It may have been registered already.
    status.mark_changed();
    let mut agent = Agent {
        service,
        name,
        place,
        voice,
        announced: Announced::Wanted { registration: Box::new(registration), status },
    };
    agent.voice.session(&state.borrow_and_update().clone());
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => break,
            Ok(()) = state.changed() => agent.voice.session(&state.borrow_and_update().clone()),
            news = agent.announced.news() => agent.registration(news),
            command = commands.next() => match command {
                Ok(Command::Quit) => break,
                Ok(Command::Tasks) => agent.voice.tasks(),
                Ok(command) => agent.obey(command),
                Err(why) => agent.voice.error(why),
            },
        }
    }
    agent.end(keeper).await;
    Ok(())
}

struct Agent {
    service: ServiceName,
    name: InstanceId,
    place: Place,
    voice: Voice,
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
            Self::Wanted { registration, .. } => Self::Leaving(Withdrawal::start(registration.withdraw())),
            left => left,
        };
    }
}

impl Agent {
    fn registration(&mut self, news: News) {
        match news {
            News::Status(Status::Registered { path, session }) => self.voice.say(&Event::Registered {
                service: self.service.clone(),
                id: self.name.clone(),
                path,
                session_id: session.to_string(),
            }),
            News::Status(Status::Registering { problem: Some(problem) }) => {
                self.voice.error(format!("cannot register: {}", chain(&problem)));
            }
            News::Status(Status::Replaced) => {
                // The node is there still, and not ours.
                self.announced = Announced::Gone;
                self.voice.error(registry::Error::Replaced.to_string());
            }
            News::Status(Status::Registering { problem: None } | Status::Withdrawn) => {}
            News::Gone => self.deregistered(),
        }
    }

    fn deregistered(&mut self) {
        self.announced = Announced::Gone;
        self.voice.say(&Event::Deregistered { service: self.service.clone(), id: self.name.clone() });
    }

    fn obey(&mut self, command: Command) {
        let refused = match (command, &mut self.announced) {
            (Command::Resign, _) => Err("resign is for those who stand for election".to_owned()),
            (Command::Deregister, Announced::Wanted { .. }) => {
                self.announced.leave();
                Ok(())
            }
            (Command::Update { port, weight }, Announced::Wanted { registration, .. }) => {
                let changed = self.place.change(port, weight);
                changed.and_then(|change| registration.update(change).map_err(|error| chain(&error)))
            }
            (_, Announced::Leaving(_) | Announced::Gone) => Err("it is registered no more".to_owned()),
            // These are not ours to do.
            (Command::Quit | Command::Tasks, Announced::Wanted { .. }) => Ok(()),
        };
        if let Err(why) = refused {
            self.voice.refuse(&why);
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
        self.voice.end(closed, "the session, and what it registered, expires").await;
    }
}
