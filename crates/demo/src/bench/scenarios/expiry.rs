//! How long are instances away whose process has lost its session?

use anyhow::{Context as _, bail};
use registry::{Registration, Status};
use tokio::time::timeout;
use zk_session::SessionId;
use zookeeper_client::{AddWatchMode, EventType, PersistentWatcher};

use super::time::millis_between;
use crate::bench::outside::expiring::expire;
use crate::bench::outside::writer::fill;
use crate::bench::processes::{Ask, Child, Fingerprint, Who, now_ns};
use crate::bench::report::{Figure, Report};
use crate::bench::stage::{Ours, Stage, instances};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

struct Figures {
    gone: Figure,
    server: Figure,
    registered: Figure,
    seen: Figure,
    lowest: Figure,
    requests: Figure,
    raw: Figure,
}

/// Measures with so many instances of the process that loses its session.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let mut figures = Figures {
        gone: Figure::new("until the last node is gone, as a watcher is told it", "ms"),
        server: Figure::new("until all are on the server again", "ms"),
        registered: Figure::new("until their process knows all of them to be registered again", "ms"),
        seen: Figure::new("until all are in another process' list again", "ms"),
        lowest: Figure::new("the shortest of the lists that this process met", ""),
        requests: Figure::new("requests, those of the follower and of the expiry included", ""),
        raw: Figure::new("bare client, connect and create all in transactions", "ms").bare(),
    };
    for round in 0..=rounds {
        stage.progress().round(round);
        one_round(stage, count, round, &mut figures).await?;
    }
    Ok(Report {
        name: "expiry",
        title: "A process loses its session, and registers all again".to_owned(),
        about: "The session is ended by a second connection with its id and password, as an expiry ends it, while its process \
                is connected; the time runs from just before. Another process follows the service: its list is whole again \
                when it has all and does not change any more. The bare client does what a new process has to do at least: it \
                connects and creates all of the same nodes, in transactions that do not wait for each other; it knows what to do \
                and does it at once. The process that lost its session pauses before it connects again, at random and up to \
                50 ms, so that not all who lost theirs come back together; for few instances that is most of the time."
            .to_owned(),
        server: stage.server().await?,
        rounds,
        figures: vec![
            figures.gone,
            figures.server,
            figures.registered,
            figures.seen,
            figures.lowest,
            figures.requests,
            figures.raw,
        ],
        ratios: Vec::new(),
    })
}

async fn one_round(stage: &Stage, count: u32, round: u32, figures: &mut Figures) -> anyhow::Result<()> {
    let server = stage.own_server().context("sessions are ended on a server of our own only")?.address();
    let service = stage.service(&format!("expiry-{round}")).await?;
    let directory = stage.directory(&service);
    let data = instances(count)?;
    let truth = Fingerprint::of(&data)?;

    let bare = stage.service(&format!("expiry-{round}-bare")).await?;
    let nodes = stage.nodes(&bare, &data)?;
    let began = now_ns();
    let client = stage.raw().await?;
    fill(&client, &nodes).await?;
    let raw = millis_between(began, now_ns());
    stage.must_have(&stage.directory(&bare), data.len()).await?;
    drop(client);

    let ours = stage.ours().await?;
    let registrations = ours.registry.announce_all(&service, data)?;
    for registration in &registrations {
        registration.registered().await?;
    }
    let mut follower = Child::start(&Who::Registry.follows(stage.connect(), &service))?;
    let whole = Ask::Settles { fingerprint: truth };
    follower.ask(&whole).await?;
    follower.ask(&Ask::Mark).await?;
    let session = ours.session().await?;
    let watching = stage.raw().await?;
    let mut watcher = watching.watch(&directory, AddWatchMode::PersistentRecursive).await?;

    let began = now_ns();
    let work = async {
        let told = told(&mut watcher, registrations.len());
        let again = registered_again(&ours, &registrations, session);
        let ((), (gone, server), registered) = tokio::try_join!(expire(server, session), told, again)?;
        let seen = follower.ask(&whole).await?.seen;
        Ok((gone, server, registered, seen))
    };
    let (ends, requests) =
        stage.counted(async { timeout(PATIENCE, work).await.context("it takes too long")? }).await?;
    let (gone, server, registered, seen) = ends;
    stage.must_have(&directory, registrations.len()).await?;
    if round > 0 {
        figures.gone.push(millis_between(began, gone));
        figures.server.push(millis_between(began, server));
        figures.registered.push(millis_between(began, registered));
        figures.seen.push(millis_between(began, seen.changed_ns.max(began)));
        figures.lowest.push(seen.lowest as f64);
        requests.into_iter().for_each(|requests| figures.requests.push(requests as f64));
        figures.raw.push(raw);
    }
    follower.stop().await?;
    ours.close().await;
    drop(registrations);
    Ok(())
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

/// When all were known to be registered in another session.
async fn registered_again(
    ours: &Ours,
    registrations: &[Registration],
    before: SessionId,
) -> anyhow::Result<u64> {
    ours.another_session(before).await?;
    for registration in registrations {
        registration.registered().await?;
    }
    // The last word of each is that of this session: what it said of the one before was taken back with the connection.
    if let Some(first) = registrations.first() {
        let mut status = first.status();
        status
            .wait_for(|now| matches!(now, Status::Registered { session, .. } if *session != before))
            .await?;
    }
    Ok(now_ns())
}
