//! Changes as fast as they can be written: when does a follower have what is left, and what does it take for that?

use super::promises::never_above;
use super::steps::{mebibytes, millis_until};
use crate::bench::outside::changes::{Changes, PER_INSTANCE, Way, among};
use crate::bench::processes::{Ask, Child, Told, Who, now_ns};
use crate::bench::report::{Figure, Limit, Ratio, Report};
use crate::bench::stage::Stage;

/// What a follower may hold at the most, in MiB, and how long it may take after the last change, in milliseconds. Nobody was promised
/// either: one that keeps every change, or falls behind, is far above.
const MOST_HELD: f64 = 40.0;
const LATEST: f64 = 1_000.0;

/// What is measured where the changes are written in one way.
struct Figures {
    way: Way,
    written: Figure,
    caught_up: Figure,
    bare_caught_up: Figure,
    requests: Figure,
    bare_requests: Figure,
    lists: Figure,
    before: Figure,
    peak: Figure,
    bare_peak: Figure,
}

impl Figures {
    fn new(way: Way) -> Self {
        let words = |what: &str| format!("{}: {what}", words(way));
        let figure = |what: &str, unit| Figure::new(words(what), unit);
        let bare = |what: &str, unit| Figure::new(bare(&words(what)), unit).bare();
        let beside = |what: &str, unit| figure(what, unit).beside(self::bare(&words(what)));
        Self {
            way,
            written: figure("written, with all followers there", "/s"),
            caught_up: beside(CAUGHT_UP, "ms"),
            bare_caught_up: bare(CAUGHT_UP, "ms"),
            requests: beside(REQUESTS, ""),
            bare_requests: bare(REQUESTS, ""),
            lists: figure("lists that its user looked at", ""),
            before: figure("memory of the follower before", "MiB"),
            peak: beside(PEAK, "MiB"),
            bare_peak: bare(PEAK, "MiB"),
        }
    }

    fn all(self) -> Vec<Figure> {
        let Self { written, caught_up, bare_caught_up, requests, bare_requests, .. } = self;
        let Self { lists, before, peak, bare_peak, .. } = self;
        vec![written, caught_up, bare_caught_up, requests, bare_requests, lists, before, peak, bare_peak]
    }
}

const CAUGHT_UP: &str = "from the last acknowledgement until the list is what is left";
const REQUESTS: &str = "requests of the follower for 1,000 changes, pings included";
const PEAK: &str = "the most that it ever held";

fn bare(what: &str) -> String {
    format!("bare client, {what}")
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
            let name = format!("burst-{round}-{number}");
            one_round(stage, figures, &name, count).await?;
            bare_round(stage, figures, &format!("{name}-bare"), count).await?;
        }
    }
    let mut ratios = Vec::new();
    for Figures { way, requests, peak, caught_up, .. } in &ways {
        let way = words(*way);
        ratios.extend(never_above(
            &format!("the most memory of the follower in MiB, {way}"),
            &peak.values,
            MOST_HELD,
        ));
        ratios.extend(never_above(&format!("caught up after ms, {way}"), &caught_up.values, LATEST));
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
             instance. Memory is what the kernel says of the follower. The bare client reads each node that it is told of, at \
             once, and keeps undecoded values; it follows the same changes after ours did."
        ),
        server: stage.server().await?,
        rounds,
        figures: ways.into_iter().flat_map(Figures::all).collect(),
        ratios,
    })
}

async fn one_round(stage: &Stage, figures: &mut Figures, name: &str, count: u32) -> anyhow::Result<()> {
    let Scene { directory, changes, mut follower, before } =
        Scene::begin(stage, name, count, Who::Registry).await?;
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
    figures.requests.push_known(others(&changes, figures.way, requests));
    figures.lists.push((told.seen.lists - before.seen.lists) as f64);
    figures.before.push(mebibytes(before.memory.resident_kb));
    figures.peak.push(mebibytes(told.memory.peak_kb));
    follower.stop().await?;
    drop(changes);
    stage.until_children(&directory, 0).await
}

async fn bare_round(stage: &Stage, figures: &mut Figures, name: &str, count: u32) -> anyhow::Result<()> {
    let Scene { directory, changes, mut follower, .. } =
        Scene::begin(stage, name, count, Who::BareClient).await?;
    let ((acknowledged, told), requests) = stage
        .counted(async {
            changes.write(figures.way).await?;
            let acknowledged = now_ns();
            Ok((acknowledged, follower.ask(&Ask::Settles { fingerprint: changes.fingerprint }).await?))
        })
        .await?;
    figures.bare_caught_up.push(told.seen.changed_ns.saturating_sub(acknowledged) as f64 / 1e6);
    figures.bare_requests.push_known(others(&changes, figures.way, requests));
    figures.bare_peak.push(mebibytes(told.memory.peak_kb));
    follower.stop().await?;
    drop(changes);
    stage.until_children(&directory, 0).await
}

/// Changes that can be written, and a process that follows where they will happen.
struct Scene {
    directory: String,
    changes: Changes,
    follower: Child,
    before: Told,
}

impl Scene {
    async fn begin(stage: &Stage, name: &str, count: u32, who: Who) -> anyhow::Result<Self> {
        let service = stage.service(name).await?;
        let among = among(count)?;
        let changes = Changes::plan(stage, &service, among, count).await?;
        changes.fill().await?;
        let mut follower = Child::start(&who.follows(stage.connect(), &service))?;
        let before = follower.ask(&Ask::Whole { len: usize::try_from(among.get())? }).await?;
        Ok(Self { directory: stage.directory(&service), changes, follower, before })
    }
}

/// The requests that were not the writer's, for 1,000 changes.
fn others(changes: &Changes, way: Way, requests: Option<u64>) -> Option<f64> {
    let others = requests?.saturating_sub(changes.requests(way) as u64);
    Some(others as f64 * 1_000.0 / changes.count() as f64)
}
