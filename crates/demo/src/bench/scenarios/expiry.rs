//! How long are instances away whose process has lost its session?

use anyhow::{Context as _, bail, ensure};
use proto::ServiceName;
use registry::{Registration, Status};
use tokio::time::timeout;
use zk_session::SessionId;
use zookeeper_client::{AddWatchMode, Client, EventType, PersistentWatcher};

use super::order::Order;
use super::promises::none;
use super::time::millis_between;
use crate::bench::outside::expiring::expire;
use crate::bench::outside::writer::fill;
use crate::bench::processes::{Ask, Child, Fingerprint, Who, now_ns};
use crate::bench::report::{Figure, Limit, Ratio, Report};
use crate::bench::stage::{Ours, Stage, instances, registered};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// How often the bare client's time it may take from the last deletion until all are there again.
const AGAIN: f64 = 10.0;
const BARE: &str = "bare client, connect and create all in transactions, until a watcher is told the last";

struct Figures {
    gone: Figure,
    server: Figure,
    again: Figure,
    raw: Figure,
    connected: Figure,
    registered: Figure,
    seen: Figure,
    lowest: Figure,
    requests: Figure,
    missing: [Figure; 3],
}

/// What came of one expiry.
struct Outcome {
    gone: f64,
    server: f64,
    connected: f64,
    registered: f64,
    seen: f64,
    lowest: usize,
    requests: Option<u64>,
    /// On the server, of the registrations, and in the list.
    missing: [usize; 3],
}

impl Figures {
    fn new() -> Self {
        Self {
            gone: Figure::new("until the last node is gone, as a watcher is told it", "ms"),
            server: Figure::new("until all are on the server again", "ms"),
            again: Figure::new("of that, from the last node gone until all are there again", "ms")
                .beside(BARE),
            raw: Figure::new(BARE, "ms").bare(),
            connected: Figure::new("until their process is connected again, in another session", "ms"),
            registered: Figure::new("until their process knows all of them to be registered again", "ms"),
            seen: Figure::new("until all are in another process' list again", "ms"),
            lowest: Figure::new("the shortest of the lists that this process met", ""),
            requests: Figure::new("requests, those of the follower and of the expiry included", ""),
            missing: [
                "instances that are not on the server again",
                "registrations not known to be registered again",
                "instances that are not in another process' list again",
            ]
            .map(|what| Figure::new(what, "")),
        }
    }

    fn push(&mut self, outcome: &Outcome, raw: f64) {
        self.gone.push(outcome.gone);
        self.server.push(outcome.server);
        self.again.push(outcome.server - outcome.gone);
        self.raw.push(raw);
        self.connected.push(outcome.connected);
        self.registered.push(outcome.registered);
        self.seen.push(outcome.seen);
        self.lowest.push(outcome.lowest as f64);
        self.requests.push_known(outcome.requests.map(|requests| requests as f64));
        for (figure, missing) in self.missing.iter_mut().zip(outcome.missing) {
            figure.push(missing as f64);
        }
    }

    fn ratios(&self) -> Vec<Ratio> {
        let again = self.again.per(&self.raw);
        let again = Ratio::new(
            "from the last node gone until all are there again / bare client",
            again,
            Limit::AtMost(AGAIN),
        );
        let missing = self.missing.iter().filter_map(|figure| none(&figure.what, figure));
        [again].into_iter().chain(missing).collect()
    }

    fn list(self) -> Vec<Figure> {
        let Self { gone, server, again, raw, connected, registered, seen, lowest, requests, missing } = self;
        let figures = [gone, server, again, raw, connected, registered, seen, lowest, requests];
        figures.into_iter().chain(missing).collect()
    }
}

/// Measures with so many instances of the process that loses its session.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let mut figures = Figures::new();
    for round in 0..=rounds {
        stage.progress().round(round);
        let (mut outcome, mut raw) = (None, None);
        for who in (Order { round }).both() {
            match who {
                Who::Registry => outcome = Some(expired(stage, count, round).await?),
                Who::BareClient => raw = Some(bare(stage, count, round).await?),
            }
        }
        let (outcome, raw) = outcome.zip(raw).context("both take their turn")?;
        if round > 0 {
            figures.push(&outcome, raw);
        }
    }
    Ok(Report {
        name: "expiry",
        title: "A process loses its session, and registers all again".to_owned(),
        about: "The session is ended by a second connection with its id and password, as an expiry ends it, while its process \
                is connected; the time runs from just before. Another process follows the service: its list is whole again \
                when it has all and does not change any more. The bare client does what a new process has to do at least, in a service that is \
                watched and followed in the same way: it connects and creates all of the same nodes, in transactions that do not wait for \
                each other; it knows what to do and does it at once, and its nodes are named and encoded before. That is compared with the \
                time from the last deletion to the last creation, both as a watcher is told them. The process that lost its session \
                pauses before it connects again, at random and up to \
                50 ms, so that not all who lost theirs come back together; for few instances that is most of the time. Ten times the bare \
                client was not promised by anybody: it is what we want to stay below."
            .to_owned(),
        server: stage.server().await?,
        rounds,
        ratios: figures.ratios(),
        figures: figures.list(),
    })
}

/// Who looks at a service: a process that follows it, and a watcher that is told every node.
struct Watched {
    follower: Child,
    watcher: PersistentWatcher,
    // Its watches end with it.
    _client: Client,
}

impl Watched {
    async fn start(stage: &Stage, service: &ServiceName, there: Fingerprint) -> anyhow::Result<Self> {
        let mut follower = Child::start(&Who::Registry.follows(stage.connect(), service))?;
        follower.ask(&Ask::Settles { fingerprint: there }).await?;
        follower.ask(&Ask::Mark).await?;
        let client = stage.raw().await?;
        let watcher = client.watch(&stage.directory(service), AddWatchMode::PersistentRecursive).await?;
        Ok(Self { follower, watcher, _client: client })
    }
}

/// How long it takes at least until all nodes are there of somebody who has no session, in milliseconds.
async fn bare(stage: &Stage, count: u32, round: u32) -> anyhow::Result<f64> {
    let service = stage.service(&format!("expiry-{round}-bare")).await?;
    let data = instances(count)?;
    let nodes = stage.nodes(&service, &data)?;
    let mut watched = Watched::start(stage, &service, Fingerprint::default()).await?;
    let began = now_ns();
    let work = async {
        let create = async {
            let client = stage.raw().await?;
            fill(&client, &nodes).await?;
            // Its nodes go with it.
            Ok(client)
        };
        let created = async {
            for _ in &nodes {
                let told = watched.watcher.changed().await.event_type;
                ensure!(told == EventType::NodeCreated, "a watcher was told {told:?}");
            }
            Ok(now_ns())
        };
        tokio::try_join!(create, created)
    };
    let (client, created) = timeout(PATIENCE, work).await.context("the bare client takes too long")??;
    stage.must_have(&stage.directory(&service), data.len()).await?;
    watched.follower.stop().await?;
    drop(client);
    stage.until_children(&stage.directory(&service), 0).await?;
    Ok(millis_between(began, created))
}

async fn expired(stage: &Stage, count: u32, round: u32) -> anyhow::Result<Outcome> {
    let server = stage.own_server().context("sessions are ended on a server of our own only")?.address();
    let service = stage.service(&format!("expiry-{round}")).await?;
    let directory = stage.directory(&service);
    let data = instances(count)?;
    let truth = Fingerprint::of(&data)?;

    let ours = stage.ours().await?;
    let registrations = ours.registry.announce_all(&service, data)?;
    registered(&registrations).await?;
    let Watched { mut follower, mut watcher, _client } = Watched::start(stage, &service, truth).await?;
    let session = ours.session().await?;

    let began = now_ns();
    let work = async {
        let told = told(&mut watcher, registrations.len());
        let again = registered_again(&ours, &registrations, session);
        let ((), (gone, server), (connected, registered)) =
            tokio::try_join!(expire(server, session), told, again)?;
        let seen = follower.ask(&Ask::Settles { fingerprint: truth }).await?.seen;
        Ok((gone, server, connected, registered, seen))
    };
    let (ends, requests) =
        stage.counted(async { timeout(PATIENCE, work).await.context("it takes too long")? }).await?;
    let (gone, server, connected, registered, seen) = ends;
    let there = stage.witness.list_children(&directory).await?.len();
    let now = ours.session().await?;
    let known = |one: &&Registration| matches!(*one.status().borrow(), Status::Registered { session: of, .. } if of == now && of != session);
    let known = registrations.iter().filter(known).count();
    // It settled as the truth, or this was not reached: what is asked for once more is what is there now.
    let listed = follower.ask(&Ask::State).await?.seen.size;
    let missing = [there, known, listed].map(|found| registrations.len().abs_diff(found));
    let outcome = Outcome {
        gone: millis_between(began, gone),
        server: millis_between(began, server),
        connected: millis_between(began, connected),
        registered: millis_between(began, registered),
        seen: millis_between(began, seen.changed_ns.max(began)),
        lowest: seen.lowest,
        requests,
        missing,
    };
    follower.stop().await?;
    ours.close().await;
    drop(registrations);
    stage.until_children(&directory, 0).await?;
    Ok(outcome)
}

/// When a watcher was told that the last of so many nodes was deleted, and that the last one was made again.
async fn told(watcher: &mut PersistentWatcher, count: usize) -> anyhow::Result<(u64, u64)> {
    let (mut deleted, mut created, mut gone) = (0, 0, 0);
    while created < count {
        match watcher.changed().await.event_type {
            EventType::NodeDeleted => {
                deleted += 1;
                gone = now_ns();
            }
            EventType::NodeCreated => created += 1,
            other => bail!("a watcher was told {other:?}"),
        }
    }
    if deleted != count {
        bail!("{deleted} of {count} nodes went with their session");
    }
    Ok((gone, now_ns()))
}

/// When their process was connected in another session, and when all were known to be registered there.
async fn registered_again(
    ours: &Ours,
    registrations: &[Registration],
    before: SessionId,
) -> anyhow::Result<(u64, u64)> {
    ours.another_session(before).await?;
    let connected = now_ns();
    registered(registrations).await?;
    // The last word of each is that of this session: what it said of the one before was taken back with the connection.
    if let Some(first) = registrations.first() {
        let mut status = first.status();
        status
            .wait_for(|now| matches!(now, Status::Registered { session, .. } if *session != before))
            .await?;
    }
    Ok((connected, now_ns()))
}
