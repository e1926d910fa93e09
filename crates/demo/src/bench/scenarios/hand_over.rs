//! How long is nobody leading when a leader goes, and what does it cost the others?

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, bail};
use leader::{Candidacy, Election, Leadership, Status};
use proto::{NodeData, ServiceName};
use tokio::time::{Instant, sleep};
use zookeeper_client::{Acls, CreateMode};

use super::time::millis;
use crate::bench::outside::expiring::expire;
use crate::bench::report::{Figure, Limit, Ratio, Report, median};
use crate::bench::stage::{Ours, Stage, ephemeral, instances};

/// The hand-overs of each kind in a round.
const TIMES: usize = 10;
/// For so long it is counted what candidates ask for while nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// How a leader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    Resigns,
    Closes,
    Expires,
}

impl Going {
    const ALL: [Self; 3] = [Self::Resigns, Self::Closes, Self::Expires];
}

struct Figures {
    took: [Figure; 3],
    seen: Figure,
    raw: Figure,
    requests: [Figure; 2],
    idle: Figure,
}

pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let mut figures = Figures {
        took: [
            Figure::new("the leader resigns, until the next one's leadership holds", "ms"),
            Figure::new("its session is closed, until the next one's leadership holds", "ms"),
            Figure::new(
                "its session is ended by another connection, until the next one's leadership holds",
                "ms",
            ),
        ],
        seen: Figure::new("of that, from the deletion as a watcher is told it", "ms"),
        raw: Figure::new("bare client, a delete until another one's watch fires", "ms").bare(),
        requests: [
            Figure::new("requests for a resignation", ""),
            Figure::new("requests when a session is closed", ""),
        ],
        idle: Figure::new("requests of all candidates in a second while nothing happens", "/s"),
    };
    let service = stage.service("hand-over").await?;
    let directory = stage.root().election_dir(&service);
    let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    stage.witness.create(&directory, &[], &persistent).await?;

    let mut line = Line { stage, service, candidates: VecDeque::new() };
    for data in instances(count)? {
        let ours = stage.ours().await?;
        line.join(ours, data).await?;
    }
    for round in 0..=rounds {
        stage.progress().round(round);
        one_round(stage, &mut line, &directory, &mut figures, round > 0).await?;
    }
    for candidate in line.candidates {
        candidate.ours.close().await;
    }
    stage.until_children(&directory, 0).await?;
    stage.witness.delete(&directory, None).await?;
    figures.report(stage, rounds).await
}

impl Figures {
    async fn report(self, stage: &Stage, rounds: u32) -> anyhow::Result<Report> {
        let ratio = |what: &str, values, limit| Ratio { what: what.to_owned(), values, limit };
        let [resigns, closes, expires] = self.took;
        let [resigned, closed] = self.requests;
        let mut ratios = vec![
            ratio("resignation / bare client", resigns.per(&self.raw), Limit::None),
            ratio("closed session / bare client", closes.per(&self.raw), Limit::None),
        ];
        if !self.seen.values.is_empty() {
            let what = "from the deletion to the next leader after an expiry, ms";
            ratios.push(ratio(what, self.seen.values.clone(), Limit::AtMost(2.0)));
        }
        for (what, figure) in
            [("requests for a resignation", &resigned), ("requests for a closed session", &closed)]
        {
            if !figure.values.is_empty() {
                ratios.push(ratio(what, figure.values.clone(), Limit::AtMost(3.0)));
            }
        }
        Ok(Report {
            name: "hand-over",
            title: "A hand-over among candidates".to_owned(),
            about: format!(
                "Each candidate has a session of its own, all of them in one process. The leader goes and the time runs until the \
                 next one's `Leadership` holds, {TIMES} times in a round, of which a round's figure is the median; who went then \
                 joins the end of the line. A session is ended by a second connection with its id and password, which is to all \
                 others what an expiry is. Requests are counted by the server until the next one leads and the node of the one \
                 before is known to be gone, and are a round's mean; what candidates ask for all the time is measured for a \
                 second before and taken off, by the time that was counted in."
            ),
            server: stage.server().await?,
            rounds,
            figures: vec![resigns, closes, expires, self.seen, self.raw, resigned, closed, self.idle],
            ratios,
        })
    }
}

async fn one_round(
    stage: &Stage,
    line: &mut Line<'_>,
    directory: &str,
    figures: &mut Figures,
    counts: bool,
) -> anyhow::Result<()> {
    let ((), asked) = stage
        .counted(async {
            sleep(IDLE).await;
            Ok(())
        })
        .await?;
    let idle = asked.map(|asked| asked as f64 / IDLE.as_secs_f64());
    let raw = raw_hand_overs(stage, directory).await?;
    if counts {
        figures.raw.push(raw);
        idle.into_iter().for_each(|idle| figures.idle.push(idle));
    }
    for (number, going) in Going::ALL.into_iter().enumerate() {
        if going == Going::Expires && stage.own_server().is_none() {
            // Only ours is known to make its passwords so.
            continue;
        }
        let (mut took, mut seen, mut requests) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let begin = Instant::now();
            let (HandOver { took: until, seen: from_deletion, gone }, asked) =
                stage.counted(line.hand_over(going)).await?;
            let all_the_time = idle.map_or(0.0, |idle| idle * begin.elapsed().as_secs_f64());
            took.push(until);
            seen.extend(from_deletion);
            requests.extend(asked.map(|asked| asked as f64 - all_the_time));
            line.stand_again(gone).await?;
        }
        if !counts {
            continue;
        }
        figures.took[number].push(median(&took));
        if !seen.is_empty() {
            figures.seen.push(median(&seen));
        }
        if let Some(figure) = figures.requests.get_mut(number).filter(|_| !requests.is_empty()) {
            figure.push(requests.iter().sum::<f64>() / TIMES as f64);
        }
    }
    Ok(())
}

/// Who stands for election, in the order in which they will lead.
struct Line<'a> {
    stage: &'a Stage,
    service: ServiceName,
    candidates: VecDeque<Candidate>,
}

struct Candidate {
    ours: Ours,
    data: NodeData,
    candidacy: Candidacy,
}

/// Who led before, and how it comes back.
enum Gone {
    /// It campaigns again.
    Resigned(Ours, NodeData),
    /// It needs another session for that.
    Closed(NodeData),
    /// It stands again by itself.
    Expired(Box<Candidate>),
}

/// In milliseconds.
struct HandOver {
    took: f64,
    /// From when a watcher was told of the deletion.
    seen: Option<f64>,
    gone: Gone,
}

impl Line<'_> {
    /// Joins the end of the line, and waits until it stands there.
    async fn join(&mut self, ours: Ours, data: NodeData) -> anyhow::Result<()> {
        let election = Election::new(ours.registry.sessions().clone(), self.stage.root().clone());
        let candidacy = election.campaign(&self.service, data.clone())?;
        stands(&candidacy).await?;
        self.candidates.push_back(Candidate { ours, data, candidacy });
        Ok(())
    }

    /// The one that leads goes, and the next one leads.
    async fn hand_over(&mut self, going: Going) -> anyhow::Result<HandOver> {
        let Candidate { ours, data, candidacy } =
            self.candidates.pop_front().context("nobody is in the line")?;
        let before = candidacy.elected().await?;
        let next = &self.candidates.front().context("nobody is next")?.candidacy;
        let start = Instant::now();
        let next = async { anyhow::Ok((next.elected().await?, start.elapsed())) };
        let (seen, gone, (leadership, took)) = match going {
            Going::Resigns => {
                let leave = async {
                    candidacy.resign().await;
                    Ok(())
                };
                let ((), next) = tokio::try_join!(leave, next)?;
                (None, Gone::Resigned(ours, data), next)
            }
            Going::Closes => {
                let leave = async {
                    ours.close().await;
                    Ok(())
                };
                let ((), next) = tokio::try_join!(leave, next)?;
                (None, Gone::Closed(data), next)
            }
            Going::Expires => {
                let server = self.stage.own_server().context("a server of our own is needed")?.address();
                let (_, deleted) = self.stage.witness.check_and_watch_stat(before.path()).await?;
                let told = async {
                    deleted.changed().await;
                    Ok(start.elapsed())
                };
                let ((), told, next) = tokio::try_join!(expire(server, before.session()), told, next)?;
                let seen = millis(next.1) - millis(told);
                (Some(seen), Gone::Expired(Box::new(Candidate { ours, data, candidacy })), next)
            }
        };
        must_follow(&before, &leadership)?;
        Ok(HandOver { took: millis(took), seen, gone })
    }

    /// Who went stands at the end of the line again.
    async fn stand_again(&mut self, gone: Gone) -> anyhow::Result<()> {
        match gone {
            Gone::Resigned(ours, data) => self.join(ours, data).await,
            Gone::Closed(data) => self.join(self.stage.ours().await?, data).await,
            Gone::Expired(candidate) => {
                let mut status = candidate.candidacy.status();
                status.wait_for(|status| matches!(status, Status::Waiting { .. })).await?;
                self.candidates.push_back(*candidate);
                Ok(())
            }
        }
    }
}

async fn stands(candidacy: &Candidacy) -> anyhow::Result<()> {
    let mut status = candidacy.status();
    let stands = |status: &Status| matches!(status, Status::Waiting { .. } | Status::Leading(_));
    status.wait_for(stands).await.context("a candidacy ended")?;
    Ok(())
}

/// Refuses a hand-over that was none.
fn must_follow(before: &Leadership, after: &Leadership) -> anyhow::Result<()> {
    if after.term() <= before.term() {
        bail!("term {} follows term {}", after.term(), before.term());
    }
    Ok(())
}

/// What it takes at least that somebody goes and somebody else is told of it.
async fn raw_hand_overs(stage: &Stage, directory: &str) -> anyhow::Result<f64> {
    let (leaves, waits) = (stage.raw().await?, stage.raw().await?);
    // Beside the line, in which it must not stand.
    let path = format!("{}-raw", directory);
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
