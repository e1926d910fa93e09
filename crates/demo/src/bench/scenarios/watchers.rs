//! Many sessions that follow the same service: every change is told to each of them.

use std::time::Duration;

use anyhow::ensure;
use futures::future::try_join_all;
use proto::ServiceName;
use tokio::time::interval;

use super::order::Order;
use super::promises::none;
use super::steps::{
    Since, Single, Started, mebibytes, millis_until, one_by_one, server_memory, start, write,
};
use super::time::millis_between;
use crate::bench::processes::{Ask, Child, Consumer, Role, Who, now_ns};
use crate::bench::report::{Figure, Limit, Report, median};
use crate::bench::stage::{Stage, ephemeral, instances, long_named, registered};

/// Instances of the service.
const INSTANCES: u32 = 100;
/// The changes of each kind in a round.
const CHANGES: u32 = 20;
/// The changes of each kind that are made at once.
const BURST: u32 = 100;
/// So many instances are added in a second, for so many seconds.
const PACES: [u32; 4] = [10, 20, 50, 100];
const PACED: u32 = 3;
/// So many of the last are looked at, to see whether it takes longer and longer.
const AT_THE_END: usize = 10;

/// What is measured of us and of the bare client.
struct Side {
    opened: Figure,
    added: Figure,
    deleted: Figure,
    burst_added: Figure,
    burst_deleted: Figure,
    paced: Vec<Paced>,
    memory: Figure,
}

/// Of those that were added at one pace.
struct Paced {
    pace: u32,
    took: Figure,
    at_the_end: Figure,
}

/// What is measured of us alone.
struct Figures {
    open_requests: Figure,
    add_requests: Figure,
    delete_requests: Figure,
    burst_requests: Figure,
    served: Figure,
    back: Figure,
    lost: Figure,
    server: Figure,
}

impl Side {
    /// Ours, and the bare client's of the same work.
    fn both() -> [Self; 2] {
        [
            Self::named(|figure| {
                let bare = bare(&figure.what);
                figure.beside(bare)
            }),
            Self::named(|figure| {
                let what = bare(&figure.what);
                Figure { what, ..figure }.bare()
            }),
        ]
    }

    fn named(of: impl Fn(Figure) -> Figure) -> Self {
        let figure = |what: &str, unit| of(Figure::new(what, unit));
        let paced = |pace: u32| Paced {
            pace,
            took: figure(&format!("{pace} added in a second: from the call until the last has it"), "ms"),
            at_the_end: figure(&format!("{pace} added in a second: the same of the last of them"), "ms"),
        };
        Self {
            opened: figure("open all sessions and follow, until all have the first list", "ms"),
            added: figure("one added, from the writer's call until the last has it", "ms"),
            deleted: figure("one deleted, from the writer's call until the last knows", "ms"),
            burst_added: figure("all added at once, from the first call until the last has the last", "ms"),
            burst_deleted: figure(
                "all deleted at once, from the first call until the last knows of the last",
                "ms",
            ),
            paced: PACES.map(paced).into(),
            memory: figure("memory of the process with all sessions", "MiB"),
        }
    }

    fn all(self) -> Vec<Figure> {
        let Self { opened, added, deleted, burst_added, burst_deleted, paced, memory } = self;
        let paced = paced.into_iter().flat_map(|paced| [paced.took, paced.at_the_end]);
        [opened, added, deleted, burst_added, burst_deleted]
            .into_iter()
            .chain(paced)
            .chain([memory])
            .collect()
    }
}

/// What the bare client's figure for the same is called.
fn bare(what: &str) -> String {
    format!("bare clients: {what}")
}

impl Figures {
    fn new() -> Self {
        let figure = |what, unit| Figure::new(what, unit);
        Self {
            open_requests: figure("requests of all first lists", ""),
            add_requests: figure("requests of all followers for one added, pings included", ""),
            delete_requests: figure("requests of all followers for one deleted, pings included", ""),
            burst_requests: figure(
                "requests of all followers for one of those added at once, pings included",
                "",
            ),
            served: figure("server killed and started again, until it serves", "ms"),
            back: figure("from then until the last list is known to be the truth", "ms"),
            lost: figure("sessions lost by the restart", ""),
            server: figure("memory of the server", "MiB"),
        }
    }

    fn all(self) -> [Figure; 8] {
        let Self { open_requests, add_requests, delete_requests, burst_requests, served, back, lost, server } =
            self;
        [open_requests, add_requests, delete_requests, burst_requests, served, back, lost, server]
    }
}

/// Measures with so many sessions.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let (mut sides, mut figures) = (Side::both(), Figures::new());
    for round in 0..=rounds {
        stage.progress().round(round);
        let (mut no_sides, mut no_figures) = (Side::both(), Figures::new());
        let (sides, figures) =
            if round > 0 { (&mut sides, &mut figures) } else { (&mut no_sides, &mut no_figures) };
        for who in (Order { round }).both() {
            let side = &mut sides[usize::from(who == Who::BareClient)];
            one_side(stage, side, figures, who, round, count).await?;
        }
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
             Then it creates so many in each of {PACED} seconds, not waiting either: told are the median of all, and that of the last \
             {AT_THE_END}, which is longer where the server or the process falls behind. Last, the server is killed and started again, with its usual \
             backlog of 50 connections that wait to be accepted. The bare clients are as many, in one process as well; each has a \
             recursive watch and reads a node that was created, which each keeps in a list of its own."
        ),
        server: stage.server().await?,
        rounds,
        figures: {
            let [ours, raw] = sides;
            ours.all().into_iter().chain(raw.all()).chain(figures.all()).collect()
        },
        ratios: ratios.into_iter().flatten().collect(),
    })
}

async fn one_side(
    stage: &Stage,
    side: &mut Side,
    figures: &mut Figures,
    who: Who,
    round: u32,
    count: u32,
) -> anyhow::Result<()> {
    let service = stage.service(&format!("watchers-{round}-{who:?}")).await?;
    let filler = stage.ours().await?;
    let filled = filler.registry.announce_all(&service, instances(INSTANCES)?)?;
    registered(&filled).await?;
    let (connect, len) = (stage.connect().to_owned(), usize::try_from(INSTANCES)?);
    let role = match who {
        Who::Registry => Role::Follow {
            connect,
            services: vec![service.to_string()],
            sessions: count,
            consumer: Consumer::Looks,
        },
        Who::BareClient => Role::CrowdBare { connect, service: service.to_string(), sessions: count },
    };
    let Started { child: mut followers, took_ms, requests, .. } = start(stage, &role, len).await?;
    side.opened.push(took_ms);

    // What the bare client asks is known: one read of each that was added.
    let mut uncounted = Figures::new();
    let figures = if who == Who::Registry { figures } else { &mut uncounted };
    figures.open_requests.push_known(requests);
    let data: Vec<_> = (0..CHANGES).map(|number| long_named(number, 1)).collect::<Result<_, _>>()?;
    let added = Single { took: &mut side.added, requests: &mut figures.add_requests };
    let deleted = Single { took: &mut side.deleted, requests: &mut figures.delete_requests };
    one_by_one(stage, &service, &data, Since::Call, &mut followers, [added, deleted]).await?;
    burst(stage, side, figures, &service, &mut followers).await?;
    for paced in &mut side.paced {
        let took = at_pace(stage, &service, paced.pace, &mut followers).await?;
        paced.took.push(median(&took));
        paced.at_the_end.push(median(&took[took.len().saturating_sub(AT_THE_END)..]));
    }
    let told = followers.ask(&Ask::State).await?;
    side.memory.push(mebibytes(told.memory.resident_kb));

    if let Some(server) = stage.own_server().filter(|_| who == Who::Registry) {
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

/// Somebody else's session adds so many in each second, whatever became of those before; how long each took until the last had it, in
/// milliseconds.
async fn at_pace(
    stage: &Stage,
    service: &ServiceName,
    pace: u32,
    followers: &mut Child,
) -> anyhow::Result<Vec<f64>> {
    let writer = stage.raw().await?;
    let data: Vec<_> =
        (0..PACED * pace).map(|number| long_named(10_000 + number, 1)).collect::<Result<_, _>>()?;
    let nodes = stage.nodes(service, &data)?;
    let ids = data.iter().map(|data| Ok(data.default_id()?.to_string())).collect::<anyhow::Result<_>>()?;
    followers.expect(&Ask::Come { ids }).await?;
    // One that is late is followed by the next at once, so that the pace is kept.
    let mut ticks = interval(Duration::from_secs(1) / pace);
    let (mut called, mut sent, options) = (Vec::new(), Vec::new(), ephemeral());
    for (path, value) in &nodes {
        ticks.tick().await;
        called.push(now_ns());
        // A call sends its request, polled or not.
        sent.push(writer.create(path, value, &options));
    }
    try_join_all(sent).await?;
    let came = followers.told().await?.came;
    ensure!(came.len() == called.len(), "{} of {} were told", came.len(), called.len());
    let took = called.into_iter().zip(came).map(|(called, came)| millis_between(called, came)).collect();
    try_join_all(nodes.iter().map(|node| write(&writer, node, false))).await?;
    followers.ask(&Ask::Whole { len: usize::try_from(INSTANCES)? }).await?;
    Ok(took)
}

/// Somebody else's session adds many at once, and deletes them.
async fn burst(
    stage: &Stage,
    side: &mut Side,
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
                side.burst_added.push(took);
                let each = |all: u64| all.saturating_sub(BURST.into()) as f64 / f64::from(BURST);
                figures.burst_requests.push_known(requests.map(each));
            }
            false => side.burst_deleted.push(took),
        }
    }
    Ok(())
}
