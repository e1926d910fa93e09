//! Changes as fast as they can be written: when does a follower have what is left, and what does it take for that?

use super::promises::never_above;
use super::steps::{mebibytes, millis_until};
use crate::bench::outside::changes::{Changes, PER_INSTANCE, Way, among};
use crate::bench::processes::{Ask, Child, Who, now_ns};
use crate::bench::report::{Figure, Limit, Ratio, Report};
use crate::bench::stage::Stage;

/// What a follower may hold at the most, in MiB, and how long it may take after the last change, in milliseconds. Nobody was promised
/// either: one that keeps every change, or falls behind, is far above.
const PEAK: f64 = 40.0;
const CAUGHT_UP: f64 = 1_000.0;

/// What is measured where the changes are written in one way.
struct Figures {
    way: Way,
    written: Figure,
    caught_up: Figure,
    requests: Figure,
    lists: Figure,
    before: Figure,
    peak: Figure,
}

impl Figures {
    fn new(way: Way) -> Self {
        let figure = |what: &str, unit| Figure::new(format!("{}: {what}", words(way)), unit);
        Self {
            way,
            written: figure("written, with all followers there", "/s"),
            caught_up: figure("from the last acknowledgement until the list is what is left", "ms"),
            requests: figure("requests of the follower for 1,000 changes, pings included", ""),
            lists: figure("lists that its user looked at", ""),
            before: figure("memory of the follower before", "MiB"),
            peak: figure("the most that it ever held", "MiB"),
        }
    }

    fn all(self) -> [Figure; 6] {
        [self.written, self.caught_up, self.requests, self.lists, self.before, self.peak]
    }
}

fn words(way: Way) -> &'static str {
    match way {
        Way::Single => "a request for each",
        Way::Together => "transactions of 100",
    }
}

/// Measures so many changes.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let mut ways = [Figures::new(Way::Single), Figures::new(Way::Together)];
    for round in 0..=rounds {
        stage.progress().round(round);
        for (number, figures) in ways.iter_mut().enumerate() {
            let mut thrown_away = Figures::new(figures.way);
            let figures = if round > 0 { figures } else { &mut thrown_away };
            one_round(stage, figures, &format!("burst-{round}-{number}"), count).await?;
        }
    }
    let mut ratios = Vec::new();
    for Figures { way, requests, peak, caught_up, .. } in &ways {
        let way = words(*way);
        ratios.extend(never_above(
            &format!("the most memory of the follower in MiB, {way}"),
            &peak.values,
            PEAK,
        ));
        ratios.extend(never_above(&format!("caught up after ms, {way}"), &caught_up.values, CAUGHT_UP));
        if !requests.values.is_empty() {
            let what = format!("requests of the follower for one change, {way}");
            let each = requests.values.iter().map(|thousand| thousand / 1_000.0).collect();
            ratios.push(Ratio::new(what, each, Limit::AtMost(1.0)));
        }
    }
    Ok(Report {
        name: "burst",
        title: "So many changes, as fast as they can be written".to_owned(),
        about: format!(
            "Somebody else's session writes, deletes and creates again, in an order that looks random and is always the same, \
             {PER_INSTANCE} changes for each instance there is; it sends the next before the last is answered, up to 1,000 requests or 10 transactions ahead. A process of its own follows; \
             its user looks at every list that comes while it looks, and the list counts when it equals what is left, instance by \
             instance. Memory is what the kernel says of the follower."
        ),
        server: stage.server().await?,
        rounds,
        figures: ways.into_iter().flat_map(Figures::all).collect(),
        ratios,
    })
}

async fn one_round(stage: &Stage, figures: &mut Figures, name: &str, count: u32) -> anyhow::Result<()> {
    let service = stage.service(name).await?;
    let directory = stage.directory(&service);
    let among = among(count)?;
    let changes = Changes::plan(stage, &service, among, count).await?;
    changes.fill().await?;
    let mut follower = Child::start(&Who::Registry.follows(stage.connect(), &service))?;
    let before = follower.ask(&Ask::Whole { len: usize::try_from(among.get())? }).await?;

    let equals = Ask::Equals { last: changes.last.clone(), fingerprint: changes.fingerprint };
    let (told, requests) = stage
        .counted(async {
            follower.expect(&equals).await?;
            let begin = now_ns();
            changes.write(figures.way).await?;
            let acknowledged = now_ns();
            let seconds = (acknowledged - begin) as f64 / 1e9;
            figures.written.push(changes.count() as f64 / seconds);
            let told = follower.told().await?;
            figures.caught_up.push(millis_until(acknowledged, &told));
            Ok(told)
        })
        .await?;
    stage.must_have(&directory, changes.left).await?;
    if let Some(requests) = requests {
        let others = requests.saturating_sub(changes.requests(figures.way) as u64);
        figures.requests.push(others as f64 * 1_000.0 / changes.count() as f64);
    }
    figures.lists.push((told.seen.lists - before.seen.lists) as f64);
    figures.before.push(mebibytes(before.memory.resident_kb));
    figures.peak.push(mebibytes(told.memory.peak_kb));
    follower.stop().await?;
    drop(changes);
    stage.until_children(&directory, 0).await
}
