//! An agent that stands for election, and acts on a ledger while it leads.

use std::io::stdin;
use std::time::Duration;

use clap::Args as ClapArgs;
use cli::ending;
use cli::output::chain;
use cli::signals::Stop;
use leader::{Election, Leadership, NodeData, Term};
use proto::{Address, InstanceId, ServiceName};
use tokio::time::{Instant, sleep_until};
use zk_session::Keeper;

use super::Identity;
use super::acting::{Acting, Outcome};
use super::commands::{self, Command};
use super::events::Event;
use super::place::Place;
use super::voice::Voice;
use crate::candidate::{self, Candidate};
use crate::withdrawal::Withdrawal;

/// After a ledger turned us away, before we stand for election again.
const FENCED_PAUSE: Duration = Duration::from_secs(1);

/// See [`super::Role::Lead`].
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,

    /// Where the ledger is that it acts on while it leads, as `demo ledger` is one; without it, it only leads
    #[arg(long, value_name = "HOST:PORT")]
    ledger: Option<Address>,

    #[command(flatten)]
    pub(super) who: Identity,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { who: Identity { service, name, connection }, place, ledger } = args;
    connection.has_elections()?;
    connection.can_lead()?;
    let data = place.data(&name)?;
    connection.check(&name, &data)?;

    let mut stop = Stop::listen()?;
    let mut commands = commands::read(stdin())?;
    let voice = Voice::begin()?;

    let keeper = connection.keep()?;
    let mut state = keeper.sessions().state();
    let mut agent = Agent {
        election: connection.election(keeper.sessions()),
        registered: connection.registers_by_election(),
        acting: ledger.map(|at| Acting::on(at, name.clone())),
        service,
        name,
        place,
        data,
        voice,
        standing: Standing::Gone,
    };
    agent.voice.session(&state.borrow_and_update().clone());
    agent.stand();
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => break,
            Ok(()) = state.changed() => agent.voice.session(&state.borrow_and_update().clone()),
            // Before it acts again: what is over is to be told first.
            news = agent.standing.news() => agent.election(news),
            outcome = outcome(&mut agent.acting) => agent.acted(outcome),
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
    /// What is said of the candidate, whichever that is.
    data: NodeData,
    election: Election,
    /// Whether its place in the election is how others find it.
    registered: bool,
    voice: Voice,
    standing: Standing,
    acting: Option<Acting>,
}

/// How far this process stands for election.
enum Standing {
    Candidate(Box<Candidate>),
    Leaving {
        withdrawal: Withdrawal,
        /// When to stand again, if ever.
        again: Option<Instant>,
    },
    Pausing {
        until: Instant,
    },
    Gone,
}

/// Something that happened to its standing.
enum News {
    Candidate(candidate::News),
    Left { again: Option<Instant> },
    StandAgain,
}

impl Standing {
    /// The next thing that happens to it.
    ///
    /// # Cancel safety
    ///
    /// Nothing is missed when this is dropped before it is ready.
    async fn news(&mut self) -> News {
        match self {
            Self::Candidate(candidate) => News::Candidate(candidate.news().await),
            Self::Leaving { withdrawal, again } => {
                withdrawal.done().await;
                News::Left { again: *again }
            }
            Self::Pausing { until } => {
                sleep_until(*until).await;
                News::StandAgain
            }
            Self::Gone => std::future::pending().await,
        }
    }
}

/// What comes of acting, if there is anything to act on.
async fn outcome(acting: &mut Option<Acting>) -> Outcome {
    match acting {
        Some(acting) => acting.next().await,
        None => std::future::pending().await,
    }
}

impl Agent {
    fn stand(&mut self) {
        let campaign = self.election.campaign_as(&self.service, self.name.clone(), self.data.clone());
        self.standing = match campaign {
            Ok(candidacy) if self.registered => {
                Standing::Candidate(Box::new(Candidate::registered_by(candidacy)))
            }
            Ok(candidacy) => Standing::Candidate(Box::new(Candidate::new(candidacy))),
            Err(error) => {
                self.refused(&chain(&error));
                Standing::Gone
            }
        };
    }

    fn election(&mut self, news: News) {
        match news {
            News::Candidate(candidate::News::Registered(node)) => self.voice.say(&Event::Registered {
                service: self.service.clone(),
                id: self.name.clone(),
                path: node.path.clone(),
                session_id: node.session.to_string(),
            }),
            News::Candidate(candidate::News::Leads(leadership)) => self.begin(leadership),
            News::Candidate(candidate::News::LeadsNoMore { term, why }) => self.lost(term, &why.to_string()),
            News::Candidate(candidate::News::Problem(problem)) => self.voice.error(problem),
            News::Candidate(candidate::News::Refused(why)) => {
                self.refused(&why);
                self.standing = Standing::Gone;
            }
            News::Left { again } => {
                self.deregistered();
                self.standing = again.map_or(Standing::Gone, |until| Standing::Pausing { until });
            }
            News::StandAgain => self.stand(),
        }
    }

    /// Its node is gone for good.
    fn deregistered(&mut self) {
        if self.registered {
            self.voice.say(&Event::Deregistered { service: self.service.clone(), id: self.name.clone() });
        }
    }

    fn begin(&mut self, leadership: Leadership) {
        let Term(token) = leadership.term();
        self.voice.say(&Event::LeaderAcquired {
            token,
            path: leadership.path().to_owned(),
            session_id: leadership.session().to_string(),
        });
        if let Some(acting) = &mut self.acting {
            acting.begin(leadership);
        }
    }

    fn lost(&mut self, Term(token): Term, reason: &str) {
        if let Some(acting) = &mut self.acting {
            acting.end();
        }
        self.voice.say(&Event::LeaderLost { token, reason: reason.to_owned() });
    }

    fn refused(&mut self, why: &str) {
        self.voice.error(format!("it stands for election no more: {why}"));
    }

    fn acted(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Trouble(what) => self.voice.error(what),
            Outcome::TurnedAway { term: Term(token), max } => {
                self.voice.say(&Event::Fenced { token, max });
                let outdated = match &self.standing {
                    Standing::Candidate(candidate) => candidate.term() == Some(Term(token)),
                    Standing::Leaving { .. } | Standing::Pausing { .. } | Standing::Gone => false,
                };
                // Its node has this term for as long as it is there, also when it does not lead just now; another one has a
                // greater.
                if outdated {
                    self.leave("fenced", Some(Instant::now() + FENCED_PAUSE));
                }
            }
        }
    }

    /// Steps down, says so if it led, and leaves the line.
    fn leave(&mut self, reason: &str, again: Option<Instant>) {
        self.standing = match std::mem::replace(&mut self.standing, Standing::Gone) {
            Standing::Candidate(candidate) => {
                let (ended, withdrawal) = candidate.resign();
                if let Some((term, why)) = ended {
                    let why = if why == leader::Lost::Resigned { reason.to_owned() } else { why.to_string() };
                    self.lost(term, &why);
                }
                Standing::Leaving { withdrawal, again }
            }
            Standing::Leaving { withdrawal, .. } => Standing::Leaving { withdrawal, again },
            Standing::Pausing { .. } | Standing::Gone => Standing::Gone,
        };
    }

    fn obey(&mut self, command: Command) {
        if let Err(why) = self.try_to_obey(command) {
            self.voice.refuse(&why);
        }
    }

    fn try_to_obey(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Deregister => {
                Err("deregister is for those who register; who stands for election resigns".to_owned())
            }
            // These are not ours to do.
            Command::Quit | Command::Tasks => Ok(()),
            Command::Resign if self.has_left() => Err("it stands for election no more".to_owned()),
            Command::Update { .. } if self.has_left() => {
                Err("nothing is said of who stands for election no more".to_owned())
            }
            Command::Resign => {
                self.leave("resigned", None);
                Ok(())
            }
            Command::Update { port, weight } => self.update(self.place.change(port, weight)?),
        }
    }

    /// Whether it left for good.
    fn has_left(&self) -> bool {
        matches!(self.standing, Standing::Gone | Standing::Leaving { again: None, .. })
    }

    fn update(&mut self, change: impl FnOnce(&mut NodeData)) -> Result<(), String> {
        let mut changed = self.data.clone();
        change(&mut changed);
        proto::encode(&changed).map_err(|error| error.to_string())?;
        if let Standing::Candidate(candidate) = &self.standing {
            candidate.update(|data| *data = changed.clone()).map_err(|error| chain(&error))?;
        }
        // The next candidate says it too.
        self.data = changed;
        Ok(())
    }

    /// Steps down, leaves, closes the session, and says so.
    async fn end(mut self, keeper: Keeper) {
        self.leave("resigned", None);
        let mut gone = true;
        if let Standing::Leaving { withdrawal, .. } = &mut self.standing {
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
        self.voice.end(closed, "the session, and the candidate's node with it, expires").await;
    }
}
