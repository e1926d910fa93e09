//! All instances in one service: what registering, the first list, a change and a reconnect cost.

use proto::ServiceName;

use super::promises::none;
use super::steps::{Since, Single, Started, cut, mebibytes, one_by_one, server_memory, start};
use crate::bench::processes::{Ask, Role, Who};
use crate::bench::report::{Figure, Limit, Report};
use crate::bench::stage::{Stage, long_named};

/// Sessions that announce, as many processes would.
pub(crate) const SESSIONS: u32 = 10;
/// The changes of each kind in a round.
const CHANGES: u32 = 20;

struct Figures {
    registered: Figure,
    register_requests: Figure,
    announcer: Figure,
    first: Figure,
    first_requests: Figure,
    follower: Figure,
    follower_peak: Figure,
    added: Figure,
    deleted: Figure,
    add_requests: Figure,
    delete_requests: Figure,
    follower_back: Figure,
    back_requests: Figure,
    announcers_back: Figure,
    announcers_requests: Figure,
    touched: Figure,
    lost: Figure,
    server: Figure,
}

impl Figures {
    fn new() -> Self {
        let figure = |what, unit| Figure::new(what, unit);
        Self {
            registered: figure("announce all on ten sessions of one process, until all are registered", "ms"),
            register_requests: figure("requests of all registrations", ""),
            announcer: figure("memory of the process that announces", "MiB"),
            first: figure("connect and `follow`, until the first list", "ms"),
            first_requests: figure("requests of the first list", ""),
            follower: figure("memory of a process that follows, after the first list", "MiB"),
            follower_peak: figure("the most that it ever held, changes and a reconnect included", "MiB"),
            added: figure("one added, from the writer's acknowledgement to the list", "ms"),
            deleted: figure("one deleted, from the writer's acknowledgement to the list", "ms"),
            add_requests: figure("requests of the follower for one added, pings included", ""),
            delete_requests: figure("requests of the follower for one deleted, pings included", ""),
            follower_back: figure(
                "connection of the follower cut, until its list is known to be the truth",
                "ms",
            ),
            back_requests: figure("requests of the follower for its reconnect", ""),
            announcers_back: figure(
                "connections of all announcing sessions cut, until all are registered",
                "ms",
            ),
            announcers_requests: figure("requests of their reconnect, and of a follower beside them", ""),
            touched: figure("nodes made or deleted by both cuts", ""),
            lost: figure("sessions lost by both cuts", ""),
            server: figure("memory of the server", "MiB"),
        }
    }

    fn all(self) -> Vec<Figure> {
        vec![
            self.registered,
            self.register_requests,
            self.announcer,
            self.first,
            self.first_requests,
            self.follower,
            self.follower_peak,
            self.added,
            self.deleted,
            self.add_requests,
            self.delete_requests,
            self.follower_back,
            self.back_requests,
            self.announcers_back,
            self.announcers_requests,
            self.touched,
            self.lost,
            self.server,
        ]
    }
}

/// Measures with so many instances in one service.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let each = count / SESSIONS;
    let mut figures = Figures::new();
    for round in 0..=rounds {
        stage.progress().round(round);
        let service = stage.service(&format!("large-{round}")).await?;
        let mut thrown_away = Figures::new();
        let figures = if round > 0 { &mut figures } else { &mut thrown_away };
        one_round(stage, figures, &service, each).await?;
        stage.until_children(&stage.directory(&service), 0).await?;
    }
    // The pings of all other sessions are in it.
    let requests = f64::from(count / 100 + 50);
    let ratios = [
        figures.follower.judged("memory of the follower in MiB", Limit::AtMost(100.0)),
        none("nodes made or deleted by cuts", &figures.touched),
        none("sessions lost by cuts", &figures.lost),
        figures
            .first_requests
            .judged("requests of the first list, pings of all sessions included", Limit::AtMost(requests)),
    ];
    Ok(Report {
        name: "large",
        title: "All instances in one service".to_owned(),
        about: format!(
            "{SESSIONS} sessions of one process announce {each} instances each, all with names of about 60 bytes. Another process \
             follows them. Then somebody else's session creates and deletes one instance after the other, {CHANGES} of each; a \
             round's figure is their median, and requests are per change. Last, a proxy cuts the connection of a follower, and then \
             those of all that announce. Memory is what the kernel says of a process of its own. The bare client has no row: registering, a \
             first list, a change and memory are beside it in `register`, `cold-start`, `change` and `memory`, the last with as many \
             instances, and nothing in it comes back after a cut."
        ),
        server: stage.server().await?,
        rounds,
        figures: figures.all(),
        ratios: ratios.into_iter().flatten().collect(),
    })
}

async fn one_round(
    stage: &Stage,
    figures: &mut Figures,
    service: &ServiceName,
    each: u32,
) -> anyhow::Result<()> {
    let len = usize::try_from(SESSIONS * each)?;
    let directory = stage.directory(service);
    let (announcers_way, follower_way) = (stage.way().await?, stage.way().await?);
    let announce = Role::Announce {
        connect: stage.through(announcers_way.as_ref()),
        service: service.to_string(),
        sessions: SESSIONS,
        each,
    };
    let Started { child: mut announcer, told, took_ms, requests } = start(stage, &announce, 0).await?;
    figures.registered.push(took_ms);
    figures.announcer.push(mebibytes(told.memory.resident_kb));
    figures.register_requests.push_known(requests);
    stage.must_have(&directory, len).await?;

    let follow = Who::Registry.follows(&stage.through(follower_way.as_ref()), service);
    let Started { child: mut follower, told, took_ms, requests } = start(stage, &follow, len).await?;
    figures.first.push(took_ms);
    figures.follower.push(mebibytes(told.memory.resident_kb));
    figures.first_requests.push_known(requests);

    let data: Vec<_> =
        (0..CHANGES).map(|number| long_named(9_000_000 + number, 1)).collect::<Result<_, _>>()?;
    let added = Single { took: &mut figures.added, requests: &mut figures.add_requests };
    let deleted = Single { took: &mut figures.deleted, requests: &mut figures.delete_requests };
    one_by_one(stage, service, &data, Since::Acknowledgement, &mut follower, [added, deleted]).await?;

    let before = stage.touched(&directory).await?;
    let mut lost = 0;
    if let Some(way) = &follower_way {
        let back = cut(stage, way, &mut follower).await?;
        figures.follower_back.push(back.took_ms);
        figures.back_requests.push_known(back.requests);
        lost += back.lost;
    }
    if let Some(way) = &announcers_way {
        let back = cut(stage, way, &mut announcer).await?;
        figures.announcers_back.push(back.took_ms);
        figures.announcers_requests.push_known(back.requests);
        lost += back.lost;
    }
    let told = follower.ask(&Ask::Whole { len }).await?;
    figures.follower_peak.push(mebibytes(told.memory.peak_kb));
    figures.touched.push(f64::from(stage.touched(&directory).await? - before));
    figures.lost.push(lost as f64);
    figures.server.push_known(server_memory(stage)?);
    follower.stop().await?;
    announcer.stop().await
}
