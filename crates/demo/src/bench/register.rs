//! How fast are many instances registered over one session?

use futures::future::try_join_all;
use proto::{NodeData, ServiceName};
use registry::{Registration, Registry};
use tokio::time::Instant;
use zookeeper_client::Client;

use super::report::{Figure, Limit, Ratio, Report};
use super::stage::{Stage, ephemeral, instances};

/// As many as one commit of ours holds.
const TOGETHER: usize = zk_session::MAX_OPS;

/// A way to register instances.
#[derive(Clone, Copy, Debug)]
enum Way {
    RawPipelined,
    Announced,
    RawOneByOne,
    AnnouncedOneByOne,
    RawTogether,
}

impl Way {
    const ALL: [Self; 5] =
        [Self::RawPipelined, Self::Announced, Self::RawOneByOne, Self::AnnouncedOneByOne, Self::RawTogether];

    fn words(self) -> String {
        match self {
            Self::RawPipelined => "bare client, creates pipelined from one task".to_owned(),
            Self::Announced => "`announce_all`, until every one is registered".to_owned(),
            Self::RawOneByOne => "bare client, one by one, each awaited".to_owned(),
            Self::AnnouncedOneByOne => "`announce` one by one, each awaited".to_owned(),
            Self::RawTogether => format!("bare client, transactions of {TOGETHER}, pipelined"),
        }
    }
}

pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let instances = instances(count)?;
    let mut rates = Way::ALL.map(|way| Figure::new(way.words(), "/s"));
    let mut requests = Figure::new("requests that `announce_all` took", "");
    for round in 0..=rounds {
        eprintln!("register: round {round} of {rounds}");
        for (number, way) in Way::ALL.into_iter().enumerate() {
            let service = stage.service(&format!("register-{round}-{number}")).await?;
            let (took, asked) = once(stage, &service, &instances, way).await?;
            if round > 0 {
                rates[number].push(f64::from(count) / took);
                if let (Way::Announced, Some(asked)) = (way, asked) {
                    requests.push(asked as f64);
                }
            }
        }
    }
    let [raw, announced, raw_single, single, together] = &rates;
    let ratio = |what: &str, values, limit| Ratio { what: what.to_owned(), values, limit };
    let mut ratios = vec![
        ratio("`announce_all` / bare client pipelined", announced.per(raw), Limit::AtLeast(0.8)),
        ratio("`announce_all` / bare client, transactions", announced.per(together), Limit::None),
        ratio("`announce` one by one / bare client one by one", single.per(raw_single), Limit::None),
    ];
    if !requests.values.is_empty() {
        let limit = f64::from(count / 100 + 10);
        ratios.push(ratio("requests of `announce_all`", requests.values.clone(), Limit::AtMost(limit)));
    }
    Ok(Report {
        name: "register",
        title: format!("Registering {count} instances over one session"),
        about: "Ephemeral nodes with the same paths and bytes, in a directory that is there, on a session that is open. \
                The time runs from the first call until every instance is known to be registered; afterwards another \
                session counts the nodes. `announce_all` includes encoding the data, checking the names and starting \
                to watch over each node; the bare client does nothing but create prepared ones. Requests are counted \
                by the server."
            .to_owned(),
        server: stage.server().await?,
        rounds,
        figures: rates.into_iter().chain([requests]).collect(),
        ratios,
    })
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
        Way::Announced | Way::AnnouncedOneByOne => {
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
    let mut registrations = Vec::new();
    if matches!(way, Way::Announced) {
        registrations = registry.announce_all(service, instances)?;
        for registration in &registrations {
            registration.registered().await?;
        }
        return Ok(registrations);
    }
    for data in instances {
        let registration = registry.announce(service, data)?;
        registration.registered().await?;
        registrations.push(registration);
    }
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
        Way::RawTogether => {
            let mut commits = Vec::new();
            for nodes in nodes.chunks(TOGETHER) {
                let mut writer = client.new_multi_writer();
                for (path, data) in nodes {
                    writer.add_create(path, data, &options)?;
                }
                commits.push(writer.commit());
            }
            try_join_all(commits).await?;
        }
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
