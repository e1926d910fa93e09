//! Many sessions that follow the same service: every change is told to each of them.

use futures::future::try_join_all;
use proto::ServiceName;

use super::promises::none;
use super::steps::{
    Since, Single, Started, mebibytes, millis_until, one_by_one, server_memory, start, write,
};
use super::time::millis_between;
use crate::bench::processes::{Ask, Child, Consumer, Role, now_ns};
use crate::bench::report::{Figure, Limit, Report};
use crate::bench::stage::{Stage, instances, long_named};

/// Instances of the service.
const INSTANCES: u32 = 100;
/// The changes of each kind in a round.
const CHANGES: u32 = 20;
/// The changes of each kind that are made at once.
const BURST: u32 = 100;

struct Figures {
    opened: Figure,
    open_requests: Figure,
    added: Figure,
    deleted: Figure,
    add_requests: Figure,
    delete_requests: Figure,
    burst_added: Figure,
    burst_deleted: Figure,
    burst_requests: Figure,
    memory: Figure,
    served: Figure,
    back: Figure,
    lost: Figure,
    server: Figure,
}

impl Figures {
    fn new() -> Self {
        let figure = |what, unit| Figure::new(what, unit);
        Self {
            opened: figure("open all sessions and `follow`, until all have the first list", "ms"),
            open_requests: figure("requests of all first lists", ""),
            added: figure("one added, from the writer's call until the last has it", "ms"),
            deleted: figure("one deleted, from the writer's call until the last knows", "ms"),
            add_requests: figure("requests of all followers for one added, pings included", ""),
            delete_requests: figure("requests of all followers for one deleted, pings included", ""),
            burst_added: figure("all added at once, from the first call until the last has the last", "ms"),
            burst_deleted: figure(
                "all deleted at once, from the first call until the last knows of the last",
                "ms",
            ),
            burst_requests: figure("requests of all followers for one of those added, pings included", ""),
            memory: figure("memory of the process with all sessions", "MiB"),
            served: figure("server killed and started again, until it serves", "ms"),
            back: figure("from then until the last list is known to be the truth", "ms"),
            lost: figure("sessions lost by the restart", ""),
            server: figure("memory of the server", "MiB"),
        }
    }

    fn all(self) -> Vec<Figure> {
        let Self { opened, open_requests, added, deleted, add_requests, delete_requests, .. } = self;
        let Self { burst_added, burst_deleted, burst_requests, memory, served, back, lost, server, .. } =
            self;
        let burst = [burst_added, burst_deleted, burst_requests];
        let first = vec![opened, open_requests, added, deleted, add_requests, delete_requests];
        first.into_iter().chain(burst).chain([memory, served, back, lost, server]).collect()
    }
}

/// Measures with so many sessions.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let mut figures = Figures::new();
    for round in 0..=rounds {
        stage.progress().round(round);
        let mut thrown_away = Figures::new();
        let figures = if round > 0 { &mut figures } else { &mut thrown_away };
        one_round(stage, figures, &format!("watchers-{round}"), count).await?;
    }
    let all = f64::from(count);
    let ratios = [
        // Pings of all of them are within a tenth.
        figures.add_requests.judged("requests for one added", Limit::AtMost(1.1 * all)),
        figures.delete_requests.judged("requests for one deleted", Limit::AtMost(0.1 * all)),
        none("sessions lost by a restart of the server", &figures.lost),
    ];
    Ok(Report {
        name: "watchers",
        title: "So many sessions on one server that follow the same service".to_owned(),
        about: format!(
            "All sessions are in one process, and the service has {INSTANCES} instances. Somebody else's session creates and deletes \
             one instance after the other, {CHANGES} of each in a round; a round's figure is their median, and requests are per \
             change. Then it creates {BURST} and deletes them, not waiting for one after the other, until every list has all, and none. \
             Last, the server is killed and started again, with its usual backlog of 50 connections that wait to be accepted."
        ),
        server: stage.server().await?,
        rounds,
        figures: figures.all(),
        ratios: ratios.into_iter().flatten().collect(),
    })
}

async fn one_round(stage: &Stage, figures: &mut Figures, name: &str, count: u32) -> anyhow::Result<()> {
    let service = stage.service(name).await?;
    let filler = stage.ours().await?;
    let filled = filler.registry.announce_all(&service, instances(INSTANCES)?)?;
    for registration in &filled {
        registration.registered().await?;
    }
    let len = usize::try_from(INSTANCES)?;
    let role = Role::Follow {
        connect: stage.connect().to_owned(),
        services: vec![service.to_string()],
        sessions: count,
        consumer: Consumer::Looks,
    };
    let Started { child: mut followers, took_ms, requests, .. } = start(stage, &role, len).await?;
    figures.opened.push(took_ms);
    figures.open_requests.push_known(requests);

    let data: Vec<_> = (0..CHANGES).map(|number| long_named(number, 1)).collect::<Result<_, _>>()?;
    let added = Single { took: &mut figures.added, requests: &mut figures.add_requests };
    let deleted = Single { took: &mut figures.deleted, requests: &mut figures.delete_requests };
    one_by_one(stage, &service, &data, Since::Call, &mut followers, [added, deleted]).await?;
    burst(stage, figures, &service, &mut followers).await?;
    let told = followers.ask(&Ask::State).await?;
    figures.memory.push(mebibytes(told.memory.resident_kb));

    if let Some(server) = stage.own_server() {
        followers.expect(&Ask::Return).await?;
        let begin = now_ns();
        server.restart().await?;
        let served = now_ns();
        let told = followers.told().await?;
        figures.served.push(millis_between(begin, served));
        figures.back.push(millis_until(served, &told));
        figures.lost.push(told.lost as f64);
        figures.server.push_known(server_memory(stage)?);
    }
    followers.stop().await?;
    filler.close().await;
    drop(filled);
    Ok(())
}

/// Somebody else's session adds many at once, and deletes them.
async fn burst(
    stage: &Stage,
    figures: &mut Figures,
    service: &ServiceName,
    followers: &mut Child,
) -> anyhow::Result<()> {
    let writer = stage.raw().await?;
    let data: Vec<_> = (0..BURST).map(|number| long_named(1_000 + number, 1)).collect::<Result<_, _>>()?;
    let nodes = stage.nodes(service, &data)?;
    for (there, len) in [(true, INSTANCES + BURST), (false, INSTANCES)] {
        let len = usize::try_from(len)?;
        let work = async {
            followers.expect(&Ask::Whole { len }).await?;
            let begin = now_ns();
            try_join_all(nodes.iter().map(|node| write(&writer, node, there))).await?;
            Ok(millis_until(begin, &followers.told().await?))
        };
        let (took, requests) = stage.counted(work).await?;
        match there {
            true => {
                figures.burst_added.push(took);
                let each = |all: u64| all.saturating_sub(BURST.into()) as f64 / f64::from(BURST);
                figures.burst_requests.push_known(requests.map(each));
            }
            false => figures.burst_deleted.push(took),
        }
    }
    Ok(())
}
