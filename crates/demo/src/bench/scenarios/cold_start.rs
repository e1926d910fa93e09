//! How long does it take until a client has the first list of a large service?

use anyhow::anyhow;
use futures::future::try_join_all;
use proto::ServiceName;
use tokio::time::Instant;
use zookeeper_client::{Client, MultiReadResult};

use super::time::millis;
use crate::bench::report::{Figure, Limit, Ratio, Report, median};
use crate::bench::stage::{Ours, Stage, instances};

/// What the bare client's fastest way is called; which one that is depends on the size.
const FASTEST: &str = "bare client, the fastest of the ways below";

pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let service = stage.service("cold-start").await?;
    let all = usize::try_from(count)?;
    let filler = stage.ours().await?;
    let filled = filler.registry.announce_all(&service, instances(count)?)?;
    for registration in &filled {
        registration.registered().await?;
    }
    // What a smaller service has no use for is left out.
    let batches: Vec<usize> = [100, 1_000].into_iter().filter(|batch| *batch < all).chain([all]).collect();
    let mut raw: Vec<_> = batches.iter().map(|batch| one_way(*batch, all)).collect();
    let mut follow = Figure::new("`follow` on an open session, until the first list", "ms").beside(FASTEST);
    let mut raw_connecting =
        Figure::new("bare client, connect, list and multi-reads of 100 pipelined", "ms").bare();
    let mut connecting =
        Figure::new("connect and `follow`, until the first list", "ms").beside(raw_connecting.what.clone());
    let mut requests = Figure::new("requests of `follow`", "");
    for round in 0..=rounds {
        stage.progress().round(round);
        let directory = stage.directory(&service);
        let mut took = Vec::new();
        for &batch in &batches {
            let client = stage.raw().await?;
            let start = Instant::now();
            read(&client, &directory, batch, all).await?;
            took.push(millis(start.elapsed()));
        }
        let ours = stage.ours().await?;
        let (open, asked) = stage
            .counted(async {
                let start = Instant::now();
                first_list(&ours, &service, all).await?;
                Ok(millis(start.elapsed()))
            })
            .await?;
        ours.close().await;

        let start = Instant::now();
        let client = stage.raw().await?;
        read(&client, &directory, 100, all).await?;
        let raw_from_nothing = millis(start.elapsed());
        drop(client);

        let start = Instant::now();
        let ours = stage.start()?;
        first_list(&ours, &service, all).await?;
        let from_nothing = millis(start.elapsed());
        ours.close().await;

        if round > 0 {
            raw.iter_mut().zip(took).for_each(|(figure, took)| figure.push(took));
            follow.push(open);
            raw_connecting.push(raw_from_nothing);
            connecting.push(from_nothing);
            if let Some(asked) = asked {
                requests.push(asked as f64);
            }
        }
    }
    filler.close().await;
    drop(filled);

    let fastest = raw.iter().min_by(|a, b| median(&a.values).total_cmp(&median(&b.values)));
    let values = fastest.map(|fastest| fastest.values.clone()).unwrap_or_default();
    let fastest = Figure { values, ..Figure::new(FASTEST, "ms").bare() };
    let limit = Limit::AtMost(f64::from(count / 100 + 10));
    let ratios = vec![
        Ratio::new("`follow` / the fastest way of the bare client", follow.per(&fastest), Limit::AtMost(3.0)),
        Ratio::new(
            "connect and `follow` / bare client, connect and read",
            connecting.per(&raw_connecting),
            Limit::AtMost(3.0),
        ),
        Ratio::new("requests of `follow`", requests.values.clone(), limit),
    ];
    Ok(Report {
        name: "cold-start",
        title: "The first list of a service".to_owned(),
        about: "A directory of instances that the registry announced. The bare client lists it and reads every node, so many \
                in a request; it does not look at what it read. `follow` also sets a watch first, asks for the size, waits for \
                the server to be up to date, decodes every value and publishes the list. Requests are counted by the server, \
                pings of other sessions included."
            .to_owned(),
        server: stage.server().await?,
        rounds,
        figures: [follow, fastest, connecting, raw_connecting, requests].into_iter().chain(raw).collect(),
        ratios,
    })
}

fn one_way(batch: usize, all: usize) -> Figure {
    let figure = match batch {
        batch if batch == all => Figure::new("bare client, list and one multi-read of all", "ms"),
        batch => Figure::new(format!("bare client, list and multi-reads of {batch} pipelined"), "ms"),
    };
    figure.bare()
}

async fn first_list(ours: &Ours, service: &ServiceName, all: usize) -> anyhow::Result<()> {
    let list = ours.registry.follow(service).ready().await?;
    if list.len() != all {
        return Err(anyhow!("the first list has {} instances instead of {all}", list.len()));
    }
    Ok(())
}

/// Lists a directory and reads all that is in it, so many in a request.
pub(crate) async fn read(client: &Client, directory: &str, batch: usize, all: usize) -> anyhow::Result<()> {
    let names = client.list_children(directory).await?;
    let mut reads = Vec::new();
    for names in names.chunks(batch) {
        let mut reader = client.new_multi_reader();
        for name in names {
            reader.add_get_data(&format!("{directory}/{name}"))?;
        }
        reads.push(reader.commit());
    }
    let read = try_join_all(reads).await?;
    let found = read.iter().flatten().filter(|result| matches!(result, MultiReadResult::Data { .. })).count();
    if found != all {
        return Err(anyhow!("the bare client read {found} nodes instead of {all}"));
    }
    Ok(())
}
