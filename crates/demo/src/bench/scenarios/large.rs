//! All instances in one service: what registering, the first list, a change and a reconnect cost.

use anyhow::bail;
use proto::ServiceName;
use zk_local::Proxy;
use zookeeper_client::Client;

use crate::bench::processes::{Ask, Child, Consumer, Role, now_ns};
use crate::bench::report::{Figure, Limit, Ratio, Report, median};
use crate::bench::scenarios::scale::{megabytes, millis, note, server_memory};
use crate::bench::stage::{Stage, ephemeral, long_named};

/// Sessions that announce, as many processes would.
const SESSIONS: u32 = 10;
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
            register_requests: figure("requests for that", ""),
            announcer: figure("memory of the process that announces", "MB"),
            first: figure("connect and `follow`, until the first list", "ms"),
            first_requests: figure("requests for that", ""),
            follower: figure("memory of a process that follows, after the first list", "MB"),
            follower_peak: figure("the most that it ever held, changes and a reconnect included", "MB"),
            added: figure("one added, from the writer's acknowledgement to the list", "ms"),
            deleted: figure("one deleted, from the writer's acknowledgement to the list", "ms"),
            add_requests: figure("requests of the follower for one added, pings included", ""),
            delete_requests: figure("requests of the follower for one deleted, pings included", ""),
            follower_back: figure(
                "connection of the follower cut, until its list is known to be the truth",
                "ms",
            ),
            back_requests: figure("requests for that", ""),
            announcers_back: figure(
                "connections of all announcing sessions cut, until all are registered",
                "ms",
            ),
            announcers_requests: figure("requests for that, and of a follower beside them", ""),
            touched: figure("nodes made or deleted by both cuts", ""),
            lost: figure("sessions lost by both cuts", ""),
            server: figure("memory of the server", "MB"),
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
    let limit = |what: &str, figure: &Figure, limit| Ratio {
        what: what.to_owned(),
        values: figure.values.clone(),
        limit,
    };
    // The pings of all other sessions are in it.
    let requests = f64::from(count / 100 + 50);
    let mut ratios = vec![
        limit("memory of the follower in MB", &figures.follower, Limit::AtMost(100.0)),
        limit("nodes made or deleted by cuts", &figures.touched, Limit::AtMost(0.0)),
        limit("sessions lost by cuts", &figures.lost, Limit::AtMost(0.0)),
    ];
    if !figures.first_requests.values.is_empty() {
        ratios.push(limit(
            "requests of the first list, pings of all sessions included",
            &figures.first_requests,
            Limit::AtMost(requests),
        ));
    }
    Ok(Report {
        name: "large",
        title: "All instances in one service".to_owned(),
        about: format!(
            "{SESSIONS} sessions of one process announce {each} instances each, all with names of about 60 bytes. Another process \
             follows them. Then somebody else's session creates and deletes one instance after the other, {CHANGES} of each; a \
             round's figure is their median, and requests are per change. Last, a proxy cuts the connection of a follower, and then \
             those of all that announce. Memory is what the kernel says of a process of its own."
        ),
        server: stage.server().await?,
        rounds,
        figures: figures.all(),
        ratios,
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
    let announcers_way = way(stage).await?;
    let follower_way = way(stage).await?;
    let through =
        |way: &Option<Proxy>| way.as_ref().map_or_else(|| stage.connect().to_owned(), Proxy::connect_string);
    let announce = Role::Announce {
        connect: through(&announcers_way),
        service: service.to_string(),
        sessions: SESSIONS,
        each,
    };
    let follow = |connect: String| Role::Follow {
        connect,
        services: vec![service.to_string()],
        sessions: 1,
        consumer: Consumer::Looks,
    };

    let (mut announcer, requests) = stage
        .counted(async {
            let begin = now_ns();
            let mut announcer = Child::start(&announce)?;
            let told = announcer.ask(&Ask::Whole { len: 0 }).await?;
            figures.registered.push(millis(begin, &told));
            figures.announcer.push(megabytes(told.memory.resident_kb));
            Ok(announcer)
        })
        .await?;
    note(&mut figures.register_requests, requests);
    stage.must_have(&directory, len).await?;

    let (mut follower, requests) = stage
        .counted(async {
            let begin = now_ns();
            let mut follower = Child::start(&follow(through(&follower_way)))?;
            let told = follower.ask(&Ask::Whole { len }).await?;
            figures.first.push(millis(begin, &told));
            figures.follower.push(megabytes(told.memory.resident_kb));
            Ok(follower)
        })
        .await?;
    note(&mut figures.first_requests, requests);

    changes(stage, figures, service, &mut follower).await?;

    let before = touched(stage, &directory).await?;
    let mut lost = 0;
    if let Some(way) = &follower_way {
        let ((), requests) = stage
            .counted(async {
                follower.expect(&Ask::Return).await?;
                let begin = now_ns();
                way.cut();
                let told = follower.told().await?;
                figures.follower_back.push(millis(begin, &told));
                lost += told.lost;
                Ok(())
            })
            .await?;
        note(&mut figures.back_requests, requests);
    }
    if let Some(way) = &announcers_way {
        let ((), requests) = stage
            .counted(async {
                announcer.expect(&Ask::Return).await?;
                let begin = now_ns();
                way.cut();
                let told = announcer.told().await?;
                figures.announcers_back.push(millis(begin, &told));
                lost += told.lost;
                Ok(())
            })
            .await?;
        note(&mut figures.announcers_requests, requests);
    }
    let told = follower.ask(&Ask::Whole { len }).await?;
    figures.follower_peak.push(megabytes(told.memory.peak_kb));
    figures.touched.push(f64::from(touched(stage, &directory).await? - before));
    figures.lost.push(lost as f64);
    if let Some(memory) = server_memory(stage).await? {
        figures.server.push(memory);
    }
    follower.stop().await?;
    announcer.stop().await
}

/// A way to the server that can be cut, where the server is ours.
async fn way(stage: &Stage) -> anyhow::Result<Option<Proxy>> {
    Ok(match stage.own_server() {
        Some(server) => Some(Proxy::start(server.address()).await?),
        None => None,
    })
}

async fn changes(
    stage: &Stage,
    figures: &mut Figures,
    service: &ServiceName,
    follower: &mut Child,
) -> anyhow::Result<()> {
    let writer = stage.raw().await?;
    let data: Vec<_> =
        (0..CHANGES).map(|number| long_named(9_000_000 + number, 1)).collect::<Result<_, _>>()?;
    let ids: Vec<_> =
        data.iter().map(|data| Ok(data.default_id()?.to_string())).collect::<anyhow::Result<_>>()?;
    let nodes = stage.nodes(service, &data)?;
    for (there, took, figure) in [
        (true, &mut figures.added, &mut figures.add_requests),
        (false, &mut figures.deleted, &mut figures.delete_requests),
    ] {
        let (all, requests) = stage
            .counted(async {
                let mut all = Vec::new();
                for (id, (path, value)) in ids.iter().zip(&nodes) {
                    follower.expect(&Ask::Shows { id: id.clone(), there }).await?;
                    let written = write(&writer, path, value, there).await?;
                    // A list may be there before the writer has its acknowledgement.
                    let told = follower.told().await?;
                    all.push((told.at as f64 - written as f64) / 1e6);
                }
                Ok(all)
            })
            .await?;
        took.push(median(&all));
        if let Some(requests) = requests {
            let others = requests.saturating_sub(u64::from(CHANGES));
            figure.push(others as f64 / f64::from(CHANGES));
        }
    }
    Ok(())
}

/// Makes a node or deletes it; when that was acknowledged.
async fn write(writer: &Client, path: &str, value: &[u8], there: bool) -> anyhow::Result<u64> {
    if there {
        writer.create(path, value, &ephemeral()).await?;
    } else {
        writer.delete(path, None).await?;
    }
    Ok(now_ns())
}

/// How often a child was made or deleted in a directory, as its server counts.
async fn touched(stage: &Stage, directory: &str) -> anyhow::Result<i32> {
    match stage.witness.check_stat(directory).await? {
        Some(stat) => Ok(stat.cversion),
        None => bail!("{directory} is gone"),
    }
}
