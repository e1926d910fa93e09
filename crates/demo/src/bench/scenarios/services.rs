//! Many services, followed by one process over one session.

use anyhow::Context as _;
use futures::future::try_join_all;
use proto::ServiceName;
use zookeeper_client::{Acls, Client, CreateMode};

use super::promises::none;
use super::steps::{Started, cut, mebibytes, millis_until, server_memory, start, write};
use crate::bench::processes::{Ask, Consumer, Role, now_ns};
use crate::bench::report::{Figure, Limit, Report};
use crate::bench::stage::{Stage, ephemeral, long_named};

/// Instances of each service.
pub(crate) const EACH: u32 = 100;
/// How many requests of the writer may be unanswered.
const AHEAD: usize = 100;

struct Figures {
    first: Figure,
    requests: Figure,
    follower: Figure,
    changed: Figure,
    change_requests: Figure,
    back: Figure,
    back_requests: Figure,
    peak: Figure,
    lost: Figure,
    server: Figure,
}

impl Figures {
    fn new() -> Self {
        let figure = |what, unit| Figure::new(what, unit);
        Self {
            first: figure("connect and `follow` all, until all lists are there", "ms"),
            requests: figure("requests of the first lists", ""),
            follower: figure("memory of the process that follows", "MiB"),
            changed: figure(
                "one added in each service, from the writer's first call until all lists show it",
                "ms",
            ),
            change_requests: figure("requests of the follower for one added in each, pings included", ""),
            back: figure("its connection cut, until all lists are known to be the truth", "ms"),
            back_requests: figure("requests of its reconnect", ""),
            peak: figure("the most memory that it ever held", "MiB"),
            lost: figure("sessions lost by the cut", ""),
            server: figure("memory of the server", "MiB"),
        }
    }

    fn all(self) -> Vec<Figure> {
        let Self { first, requests, follower, changed, change_requests, .. } = self;
        let Self { back, back_requests, peak, lost, server, .. } = self;
        vec![first, requests, follower, changed, change_requests, back, back_requests, peak, lost, server]
    }
}

/// Measures with so many instances, in services of equal size.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    // A watched path is then longer than 131 bytes, and a thousand of them more than a client may set again at once.
    let name = |number| format!("services-{number:05}-{}", "of-a-team-with-a-long-name-".repeat(4));
    let services = (0..count / EACH).map(|number| ServiceName::parse(&name(number)));
    let services: Vec<_> = services.collect::<Result<_, _>>()?;
    // Its session owns all of them, until it is dropped.
    let filler = stage.raw().await?;
    fill(stage, &filler, &services).await?;
    let bytes: usize = services.iter().map(|service| stage.directory(service).len()).sum();

    let mut figures = Figures::new();
    for round in 0..=rounds {
        stage.progress().round(round);
        let mut thrown_away = Figures::new();
        let figures = if round > 0 { &mut figures } else { &mut thrown_away };
        one_round(stage, figures, &services).await?;
    }
    drop(filler);
    let each = f64::from(count / EACH);
    let ratios = [
        none("sessions lost by the cut", &figures.lost),
        // For each service: a watch, its size, its children, and what they say.
        figures.requests.judged("requests until all lists are there", Limit::AtMost(4.0 * each + 10.0)),
        // A create is the writer's and a read the follower's.
        figures.change_requests.judged("requests for one added in each", Limit::AtMost(1.1 * each)),
    ];
    Ok(Report {
        name: "services",
        title: format!("The same in services of {EACH}, followed by one process over one session"),
        about: format!(
            "Somebody else's session made all of them. The paths that the follower watches have {bytes} bytes together; with more than \
             131,072 a session of the bare client ends at its next reconnect. After the first lists one instance is added to each \
             service at the same time, and deleted again; then a proxy cuts the connection of the follower. Memory is what the kernel \
             says of a process of its own. The bare client has no row: with so many bytes of paths it does not come back, and one service is \
             beside it in `cold-start`, `change` and `memory`."
        ),
        server: stage.server().await?,
        rounds,
        figures: figures.all(),
        ratios: ratios.into_iter().flatten().collect(),
    })
}

/// Makes all of it.
async fn fill(stage: &Stage, filler: &Client, services: &[ServiceName]) -> anyhow::Result<()> {
    let parents = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let data: Vec<_> = (0..EACH).map(|number| long_named(number, 1)).collect::<Result<_, _>>()?;
    let options = ephemeral();
    for service in services {
        filler.mkdir(&stage.directory(service), &parents).await?;
        let mut commit = filler.new_multi_writer();
        for (path, value) in stage.nodes(service, &data)? {
            commit.add_create(&path, &value, &options)?;
        }
        commit.commit().await?;
    }
    Ok(())
}

async fn one_round(stage: &Stage, figures: &mut Figures, services: &[ServiceName]) -> anyhow::Result<()> {
    let way = stage.way().await?;
    let role = Role::Follow {
        connect: stage.through(way.as_ref()),
        services: services.iter().map(ToString::to_string).collect(),
        sessions: 1,
        consumer: Consumer::Looks,
    };
    let len = usize::try_from(EACH)?;
    let Started { child: mut follower, told, took_ms, requests } = start(stage, &role, len).await?;
    figures.first.push(took_ms);
    figures.follower.push(mebibytes(told.memory.resident_kb));
    figures.requests.push_known(requests);

    let writer = stage.raw().await?;
    let data = [long_named(EACH, 1)?];
    let id = data[0].default_id()?.to_string();
    let nodes: Vec<_> =
        services.iter().map(|service| stage.nodes(service, &data)).collect::<Result<_, _>>()?;
    let nodes: Vec<_> = nodes.into_iter().flatten().collect();
    let ((), requests) = stage
        .counted(async {
            follower.expect(&Ask::Shows { id: id.clone(), there: true }).await?;
            let begin = now_ns();
            write_all(&writer, &nodes, true).await?;
            figures.changed.push(millis_until(begin, &follower.told().await?));
            Ok(())
        })
        .await?;
    let others = requests.map(|all| all.saturating_sub(nodes.len() as u64) as f64);
    figures.change_requests.push_known(others);
    follower.expect(&Ask::Shows { id, there: false }).await?;
    write_all(&writer, &nodes, false).await?;
    follower.told().await?;

    if let Some(way) = &way {
        let back = cut(stage, way, &mut follower).await?;
        figures.back.push(back.took_ms);
        figures.back_requests.push_known(back.requests);
        figures.lost.push(back.lost as f64);
    }
    let told = follower.ask(&Ask::Whole { len }).await.context("after the reconnect")?;
    figures.peak.push(mebibytes(told.memory.peak_kb));
    figures.server.push_known(server_memory(stage)?);
    follower.stop().await
}

/// Makes or deletes a node in each service, not waiting for one after the other.
async fn write_all(writer: &Client, nodes: &[(String, Vec<u8>)], there: bool) -> anyhow::Result<()> {
    for nodes in nodes.chunks(AHEAD) {
        try_join_all(nodes.iter().map(|node| write(writer, node, there))).await?;
    }
    Ok(())
}
