//! How fast are many instances registered over one session?

use proto::{NodeData, ServiceName};
use registry::{Registration, Registry};
use tokio::time::Instant;
use zookeeper_client::Client;

use crate::bench::outside::writer::{TOGETHER, fill};
use crate::bench::report::{Figure, Limit, Ratio, Report};
use crate::bench::stage::{Stage, ephemeral, instances, registered};

/// Why a transaction of the bare client's takes less.
const PREPARED: &str = "the bare client's nodes are named and encoded before the time runs, and nobody watches over them afterwards";

/// A way to register instances.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    RawOneByOne,
    AnnouncedOneByOne,
    RawPipelined,
    AnnouncedPipelined,
    RawTogether,
    AnnouncedTogether,
}

impl Way {
    pub(super) const ALL: [Self; 6] = [
        Self::RawOneByOne,
        Self::AnnouncedOneByOne,
        Self::RawPipelined,
        Self::AnnouncedPipelined,
        Self::RawTogether,
        Self::AnnouncedTogether,
    ];

    fn words(self) -> String {
        match self {
            Self::RawOneByOne => "bare client, one by one, each awaited".to_owned(),
            Self::AnnouncedOneByOne => "`announce` one by one, each awaited".to_owned(),
            Self::RawPipelined => "bare client, creates pipelined".to_owned(),
            Self::AnnouncedPipelined => "`announce` pipelined".to_owned(),
            Self::RawTogether => format!("bare client, transactions of {TOGETHER} pipelined"),
            Self::AnnouncedTogether => "`announce_all`, in bulk".to_owned(),
        }
    }

    /// Its rate.
    pub(super) fn figure(self) -> Figure {
        let figure = Figure::new(self.words(), "/s");
        match self {
            Self::RawOneByOne | Self::RawPipelined | Self::RawTogether => figure.bare(),
            Self::AnnouncedOneByOne => figure.beside(Self::RawOneByOne.words()),
            Self::AnnouncedPipelined => figure.beside(Self::RawPipelined.words()),
            Self::AnnouncedTogether => figure.beside(Self::RawTogether.words()),
        }
    }
}

/// Measures the registration of so many instances.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let instances = instances(count)?;
    let mut rates = Way::ALL.map(Way::figure);
    let mut requests = Figure::new("requests of `announce_all`", "");
    let mut pipelined_requests = Figure::new("requests of `announce` pipelined", "");
    for round in 0..=rounds {
        stage.progress().round(round);
        let measured = one_round(stage, &instances, round).await?;
        if round == 0 {
            continue;
        }
        for ((way, rate), (took, asked)) in Way::ALL.into_iter().zip(&mut rates).zip(measured) {
            rate.push(f64::from(count) / took);
            match way {
                Way::AnnouncedTogether => requests.push_known(asked.map(|asked| asked as f64)),
                Way::AnnouncedPipelined => pipelined_requests.push_known(asked.map(|asked| asked as f64)),
                _ => {}
            }
        }
    }
    let [_, _, raw_pipelined, pipelined, raw_together, together] = &rates;
    let ratios = vec![
        Ratio::new(
            "`announce` pipelined / bare client pipelined",
            pipelined.per(raw_pipelined),
            Limit::AtLeast(0.8),
        ),
        Ratio::new(
            "`announce_all` / bare client's transactions",
            together.per(raw_together),
            Limit::AtLeastBut(0.8, PREPARED),
        ),
        Ratio::new(
            "requests of `announce_all`",
            requests.values.clone(),
            Limit::AtMost(f64::from(count / 100 + 10)),
        ),
    ];
    Ok(Report {
        name: "register",
        title: "Registering over one session".to_owned(),
        about: "Ephemeral nodes with the same paths and bytes, in a directory that is there, on a session that is open. \
                The time runs from the first call until every instance is known to be registered; afterwards another \
                session counts the nodes. Pipelined: all calls are made before any is awaited. Ours includes encoding the \
                data, checking the names and starting to watch over each node; the bare client does nothing but create \
                prepared ones. Requests are counted by the server."
            .to_owned(),
        server: stage.server().await?,
        rounds,
        figures: rates.into_iter().chain([requests, pipelined_requests]).collect(),
        ratios,
    })
}

/// What each way took: the time, in seconds, and the requests where they can be counted.
pub(super) async fn one_round(
    stage: &Stage,
    instances: &[NodeData],
    round: u32,
) -> anyhow::Result<[(f64, Option<u64>); 6]> {
    let mut ways: Vec<_> = Way::ALL.into_iter().enumerate().collect();
    // Whoever is measured first finds the server as it was left: that is ours as often as the bare client.
    if !round.is_multiple_of(2) {
        ways.reverse();
    }
    let mut measured = [(0.0, None); 6];
    for (number, way) in ways {
        stage.progress().doing(&way.words());
        let service = stage.service(&format!("register-{round}-{number}")).await?;
        measured[number] = once(stage, &service, instances, way).await?;
    }
    Ok(measured)
}

/// The time it took, in seconds, and the requests.
async fn once(
    stage: &Stage,
    service: &ServiceName,
    instances: &[NodeData],
    way: Way,
) -> anyhow::Result<(f64, Option<u64>)> {
    let directory = stage.directory(service);
    let nodes = stage.nodes(service, instances)?;
    let measured = match way {
        Way::RawPipelined | Way::RawOneByOne | Way::RawTogether => {
            let client = stage.raw().await?;
            let measured = stage
                .counted(async {
                    let start = Instant::now();
                    create(&client, &nodes, way).await?;
                    Ok(start.elapsed().as_secs_f64())
                })
                .await?;
            stage.must_have(&directory, instances.len()).await?;
            measured
        }
        Way::AnnouncedOneByOne | Way::AnnouncedPipelined | Way::AnnouncedTogether => {
            let ours = stage.ours().await?;
            let data = instances.to_vec();
            let work = async {
                let start = Instant::now();
                let registrations = announce(&ours.registry, service, data, way).await?;
                Ok((registrations, start.elapsed().as_secs_f64()))
            };
            let ((registrations, took), asked) = stage.counted(work).await?;
            stage.must_have(&directory, instances.len()).await?;
            // The session first: registrations that are dropped while it is open are withdrawn, each by a request.
            ours.close().await;
            drop(registrations);
            (took, asked)
        }
    };
    stage.until_children(&directory, 0).await?;
    Ok(measured)
}

async fn announce(
    registry: &Registry,
    service: &ServiceName,
    instances: Vec<NodeData>,
    way: Way,
) -> anyhow::Result<Vec<Registration>> {
    let registrations = match way {
        Way::AnnouncedTogether => registry.announce_all(service, instances)?,
        _ => {
            let mut registrations = Vec::new();
            for data in instances {
                let registration = registry.announce(service, data)?;
                if matches!(way, Way::AnnouncedOneByOne) {
                    registration.registered().await?;
                }
                registrations.push(registration);
            }
            registrations
        }
    };
    registered(&registrations).await?;
    Ok(registrations)
}

async fn create(client: &Client, nodes: &[(String, Vec<u8>)], way: Way) -> anyhow::Result<()> {
    let options = ephemeral();
    match way {
        Way::RawOneByOne => {
            for (path, data) in nodes {
                client.create(path, data, &options).await?;
            }
        }
        Way::RawTogether => fill(client, nodes).await?,
        // A call sends its request, polled or not.
        _ => {
            let sent: Vec<_> = nodes.iter().map(|(path, data)| client.create(path, data, &options)).collect();
            for answer in sent {
                answer.await?;
            }
        }
    }
    Ok(())
}
