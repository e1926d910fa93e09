//! How long does it take until a client has the first list of a large service?

mod cut_short;

use anyhow::anyhow;
use proto::ServiceName;
use tokio::time::Instant;

use self::cut_short::{CutShort, cut_short};
use super::order::Order;
use super::time::millis;
use crate::bench::outside::reader::read_so_many;
use crate::bench::processes::Who;
use crate::bench::report::{Figure, Limit, Ratio, Report, median};
use crate::bench::stage::{Ours, Stage, instances, registered};

/// What the bare client's fastest way is called; which one that is depends on the size.
const FASTEST: &str = "bare client, the fastest of the ways below";

/// Measures the first list of so many instances.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let service = stage.service("cold-start").await?;
    let directory = stage.directory(&service);
    let all = usize::try_from(count)?;
    let filler = stage.ours().await?;
    let filled = filler.registry.announce_all(&service, instances(count)?)?;
    registered(&filled).await?;
    // What a smaller service has no use for is left out.
    let batches: Vec<usize> = [100, 1_000].into_iter().filter(|batch| *batch < all).chain([all]).collect();
    let mut raw: Vec<_> = batches.iter().map(|batch| one_way(*batch, all)).collect();
    let mut follow = Figure::new("`follow` on an open session, until the first list", "ms").beside(FASTEST);
    let mut raw_connecting =
        Figure::new("bare client, connect, list and multi-reads of 100 pipelined", "ms").bare();
    let mut connecting =
        Figure::new("connect and `follow`, until the first list", "ms").beside(raw_connecting.what.clone());
    let mut requests = Figure::new("requests of `follow`", "");
    let mut cut = CutShort::new();
    for round in 0..=rounds {
        stage.progress().round(round);
        let order = Order { round };
        let (mut took, mut open) = (Vec::new(), None);
        let (mut raw_from_nothing, mut from_nothing) = (0.0, 0.0);
        // Whoever comes second finds the server warm: that is each as often as the other.
        for who in order.both() {
            match who {
                Who::BareClient => {
                    for &batch in &batches {
                        let client = stage.raw().await?;
                        let start = Instant::now();
                        read_so_many(&client, &directory, batch, all).await?;
                        took.push(millis(start.elapsed()));
                    }
                }
                Who::Registry => {
                    let ours = stage.ours().await?;
                    let work = async {
                        let start = Instant::now();
                        first_list(&ours, &service, all).await?;
                        Ok(millis(start.elapsed()))
                    };
                    open = Some(stage.counted(work).await?);
                    ours.close().await;
                }
            }
        }
        for who in order.both() {
            let start = Instant::now();
            match who {
                Who::BareClient => {
                    let client = stage.raw().await?;
                    read_so_many(&client, &directory, 100, all).await?;
                    raw_from_nothing = millis(start.elapsed());
                }
                Who::Registry => {
                    let ours = stage.start()?;
                    first_list(&ours, &service, all).await?;
                    from_nothing = millis(start.elapsed());
                    ours.close().await;
                }
            }
        }
        let healed = cut_short(stage, &service, all).await?;
        if round > 0 {
            raw.iter_mut().zip(took).for_each(|(figure, took)| figure.push(took));
            if let Some((open, asked)) = open {
                follow.push(open);
                requests.push_known(asked.map(|asked| asked as f64));
            }
            raw_connecting.push(raw_from_nothing);
            connecting.push(from_nothing);
            cut.push(healed);
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
    let ratios = ratios.into_iter().chain(cut.ratios()).collect();
    Ok(Report {
        name: "cold-start",
        title: "The first list of a service".to_owned(),
        about: "A directory of instances that the registry announced. The bare client lists it and reads every node, so many \
                in a request; it keeps names and values as they are. `follow` also sets a watch first, asks for the size, waits for \
                the server to be up to date, decodes every value and publishes the list. Requests are counted by the server, \
                pings of other sessions included. Last, a proxy holds back the answers to the second half of the reads (of one read: that one), cuts \
                the connection, and refuses another one until that was noticed: whatever of the list is there must not be shown, by any list until \
                it is whole. Three times the bare client was not promised by anybody: it is what we want to stay below."
            .to_owned(),
        server: stage.server().await?,
        rounds,
        figures: [follow, fastest, connecting, raw_connecting, requests]
            .into_iter()
            .chain(raw)
            .chain(cut.list())
            .collect(),
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
