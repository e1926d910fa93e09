//! How long is nobody leading when a leader goes, and what does it cost the others?

mod line;

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, timeout};
use zookeeper_client::{Acls, CreateMode};

use self::line::{Going, Line};
use super::promises::always;
use super::time::millis;
use crate::bench::report::{Figure, Limit, Ratio, Report, median};
use crate::bench::stage::{SESSION, Stage, ephemeral, instances};

/// The hand-overs of each kind in a round that are timed, and those that are counted.
const TIMES: usize = 10;
const COUNTED: usize = 3;
/// So often a candidate asks whether its session lives.
const BETWEEN_LOOKS: Duration = SESSION.checked_div(10).expect("ten is not nothing");
const PATIENCE: Duration = Duration::from_secs(60);

struct Figures {
    took: [Figure; 3],
    seen: Figure,
    raw: Figure,
    requests: [Figure; 3],
    alive: Figure,
}

impl Figures {
    fn new() -> Self {
        let took = |what: &str| Figure::new(format!("{what}, until the next one's leadership holds"), "ms");
        // Several in each round, or once after all of them.
        let counted = |what: &str| Figure::new(what, "").apart_from_rounds();
        Self {
            took: [
                took("the leader resigns"),
                took("its session is closed"),
                took("its session is ended by another connection"),
            ],
            seen: Figure::new("of that, from the deletion as a watcher is told it", "ms"),
            raw: Figure::new("bare client, a delete until another one's watch fires", "ms").bare(),
            requests: [
                counted("requests for a resignation"),
                counted("requests when a session is closed"),
                counted("requests of all others when a session is ended"),
            ],
            alive: counted(
                "requests of all in a tenth of a session's time while nothing happens, looked at once",
            ),
        }
    }

    async fn report(self, stage: &Stage, rounds: u32) -> anyhow::Result<Report> {
        let [resigns, closes, expires] = self.took;
        let [resigned, closed, expired] = self.requests;
        let mut ratios = vec![
            Ratio::new("resignation / bare client", resigns.per(&self.raw), Limit::None),
            Ratio::new("closed session / bare client", closes.per(&self.raw), Limit::None),
        ];
        let seen = "from the deletion to the next leader after an expiry, ms";
        ratios.extend(self.seen.judged(seen, Limit::AtMost(2.0)));
        // A list and a proof that the session lives are the next one's; what ends the leadership is the third.
        ratios.extend(always("requests for a resignation", &resigned, 3.0));
        ratios.extend(always("requests for a closed session", &closed, 3.0));
        ratios.extend(always("requests of all others for an ended session", &expired, 2.0));
        Ok(Report {
            name: "hand-over",
            title: "A hand-over among candidates".to_owned(),
            about: format!(
                "Each candidate has a session of its own, all of them in one process. The leader goes and the time runs until the \
                 next one's `Leadership` holds, {TIMES} times in a round, of which a round's figure is the median; who went then \
                 joins the end of the line. A session is ended by a second connection with its id and password, which is to all \
                 others what an expiry is. Requests are counted in hand-overs of their own, {COUNTED} of each kind in a round, in a line \
                 of which each candidate reaches the server by a relay that looks at every request: all that candidates ask until some \
                 time after the next one leads, but pings, and what each asks by the clock to know that its session lives (`exists` of `/`), \
                 which has a row of its own and is looked at once, after all rounds. What must be so is judged by every single hand-over. Three is the least: the leader's node goes, the next one \
                 looks who is first, and proves that its session lives. Who loses its session asks nothing for that."
            ),
            server: stage.server().await?,
            rounds,
            figures: vec![
                resigns, closes, expires, self.seen, self.raw, resigned, closed, expired, self.alive,
            ],
            ratios,
        })
    }
}

/// Measures among so many candidates.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let mut figures = Figures::new();
    let service = stage.service("hand-over").await?;
    let directory = stage.root().election_dir(&service);
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    stage.witness.create(&directory, &[], &persistent).await?;

    let mut line = Line::form(stage, service.clone(), instances(count)?, false).await?;
    for round in 0..=rounds {
        stage.progress().round(round);
        timed(stage, &mut line, &directory, &mut figures, round > 0).await?;
    }
    line.end().await;
    stage.until_children(&directory, 0).await?;
    if stage.own_server().is_some() {
        stage.progress().doing("requests");
        let mut line = Line::form(stage, service, instances(count)?, true).await?;
        for round in 0..=rounds {
            counted(&mut line, &mut figures, round > 0).await?;
        }
        figures.alive.push(line.asks_whether_alive(BETWEEN_LOOKS).await as f64);
        line.end().await;
        stage.until_children(&directory, 0).await?;
    }
    stage.witness.delete(&directory, None).await?;
    figures.report(stage, rounds).await
}

async fn timed(
    stage: &Stage,
    line: &mut Line<'_>,
    directory: &str,
    figures: &mut Figures,
    counts: bool,
) -> anyhow::Result<()> {
    let raw = timeout(PATIENCE, raw_hand_overs(stage, directory)).await;
    let raw = raw.context("the bare client is not told of a deletion")??;
    if counts {
        figures.raw.push(raw);
    }
    for (going, figure) in Going::ALL.into_iter().zip(&mut figures.took) {
        if going == Going::Expires && stage.own_server().is_none() {
            // Only ours is known to make its passwords so.
            continue;
        }
        let (mut took, mut seen) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let hand_over = line.hand_over(going).await?;
            took.push(hand_over.took);
            seen.extend(hand_over.seen);
            line.stand_again(hand_over).await?;
        }
        if counts {
            figure.push(median(&took));
            figures.seen.push_known((!seen.is_empty()).then(|| median(&seen)));
        }
    }
    Ok(())
}

async fn counted(line: &mut Line<'_>, figures: &mut Figures, counts: bool) -> anyhow::Result<()> {
    for (going, figure) in Going::ALL.into_iter().zip(&mut figures.requests) {
        for _ in 0..COUNTED {
            let (hand_over, asked) = line.counted_hand_over(going).await?;
            if counts {
                figure.push(asked as f64);
            }
            line.stand_again(hand_over).await?;
        }
    }
    Ok(())
}

/// What it takes at least that somebody goes and somebody else is told of it.
async fn raw_hand_overs(stage: &Stage, directory: &str) -> anyhow::Result<f64> {
    let (leaves, waits) = (stage.raw().await?, stage.raw().await?);
    // Beside the line, in which it must not stand.
    let path = format!("{directory}-raw");
    let mut all = Vec::new();
    for _ in 0..TIMES {
        leaves.create(&path, b"", &ephemeral()).await?;
        let (_, deleted) = waits.check_and_watch_stat(&path).await?;
        let start = Instant::now();
        let told = async {
            deleted.changed().await;
            Ok(start.elapsed())
        };
        let leave = async { leaves.delete(&path, None).await };
        let ((), told) = tokio::try_join!(leave, told)?;
        all.push(millis(told));
    }
    Ok(median(&all))
}
