//! Changes as fast as they can be written, and somebody who does not keep up: the user of the list, a task that blocks
//! its thread, or the server that is asked what changed.

use std::time::Duration;

use tokio::time::sleep;
use zk_local::Direction;

use super::promises::{never_above, none};
use super::steps::{mebibytes, millis_until, server_memory};
use crate::bench::outside::changes::{Changes, PER_INSTANCE, Way, among};
use crate::bench::processes::{Ask, Child, Consumer, Role, now_ns};
use crate::bench::report::{Figure, Report, grouped};
use crate::bench::stage::{SESSION, Stage};

/// How much longer everything takes on the way to a server that is slow, and as much back.
const DELAY: Duration = Duration::from_millis(250);

/// How long the session lasts of a follower of which a thread is blocked, unless the server grants longer ones alone, and for how often that
/// time it is: were it not heard of meanwhile, its session would be over.
const SESSION_OF_BLOCKED: Duration = Duration::from_secs(2);
const BLOCKED: u32 = 2;

/// What may be kept for a change at most, in bytes. A notification that waits in the client's channel takes more than a hundred.
const KEPT: f64 = 40.0;
/// The round that does not count only warms the server up, with so much less.
const WARM_UP: u32 = 10;

/// Who does not keep up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slow {
    /// The user of the list does not look before all is over.
    User,
    /// It blocks one of the two threads of the process until then.
    Thread,
    /// Every answer takes half a second more.
    Server,
    /// The same, while the first list is read.
    ServerAtFirst,
    /// Nothing of what the server sends arrives until all is written.
    Way,
}

impl Slow {
    const ALL: [Self; 5] = [Self::User, Self::Thread, Self::Server, Self::ServerAtFirst, Self::Way];

    fn words(self) -> &'static str {
        match self {
            Self::User => "nobody looks",
            Self::Thread => "a thread is blocked",
            Self::Server => "answers take 0.5 s more",
            Self::ServerAtFirst => "answers take 0.5 s more, and the first list is read meanwhile",
            Self::Way => "nothing arrives until all is written",
        }
    }

    /// From when it is expected to catch up.
    fn since(self) -> &'static str {
        match self {
            Self::Thread => "from when the thread goes on",
            Self::Way => "from when all arrives",
            Self::User | Self::Server | Self::ServerAtFirst => "from the last acknowledgement",
        }
    }

    fn session(self) -> Duration {
        if self == Self::Thread { SESSION_OF_BLOCKED } else { SESSION }
    }

    /// Whether it is the way to the server that is slow.
    fn is_way(self) -> bool {
        matches!(self, Self::Server | Self::ServerAtFirst | Self::Way)
    }
}

struct Figures {
    slow: Slow,
    caught_up: Figure,
    peak: Figure,
    peak_of_thrice: Figure,
    kept: Figure,
    requests: Figure,
    interrupted: Figure,
    server: Figure,
}

impl Figures {
    fn new(slow: Slow) -> Self {
        let figure = |what: &str, unit| Figure::new(format!("{}: {what}", slow.words()), unit);
        Self {
            slow,
            caught_up: figure(&format!("{} until a look shows what is left", slow.since()), "ms"),
            peak: figure("the most memory that the follower held", "MiB"),
            peak_of_thrice: figure("the same with three times as many changes", "MiB"),
            kept: figure("more memory for each change that was more", "bytes"),
            requests: figure("requests of the follower for 1,000 changes, pings included", ""),
            interrupted: figure("connections or sessions lost, the worse of both", ""),
            server: figure("memory of the server after three times as many", "MiB"),
        }
    }

    /// `more` changes made the difference.
    fn compare(&mut self, more: u32) {
        let peaks = self.peak.values.iter().zip(&self.peak_of_thrice.values);
        let kept = peaks.map(|(once, thrice)| (thrice - once) * 1024.0 * 1024.0 / f64::from(more));
        self.kept.values = kept.collect();
    }

    fn all(self) -> [Figure; 7] {
        let Self { caught_up, peak, peak_of_thrice, kept, requests, interrupted, server, .. } = self;
        [caught_up, peak, peak_of_thrice, kept, requests, interrupted, server]
    }
}

/// Measures behind so many changes, and three times as many.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let mut all = Slow::ALL.map(Figures::new);
    for round in 0..=rounds {
        stage.progress().round(round);
        for (number, figures) in all.iter_mut().enumerate() {
            let mut thrown_away = Figures::new(figures.slow);
            let (figures, count) = match round {
                0 => (&mut thrown_away, warm_up(count)),
                _ => (figures, count),
            };
            let mut interrupted = None;
            for times in [1, 3] {
                let name = format!("slow-{round}-{number}-{times}");
                interrupted = interrupted.max(one_round(stage, figures, &name, count, times).await?);
            }
            figures.interrupted.push_known(interrupted.map(|interrupted| interrupted as f64));
        }
    }
    all.iter_mut().for_each(|figures| figures.compare(2 * count));
    let ratios = all.iter().flat_map(|figures| {
        let words = figures.slow.words();
        let kept = never_above(&format!("bytes kept for a change: {words}"), &figures.kept.values, KEPT);
        let lost = none(&format!("connections or sessions lost: {words}"), &figures.interrupted);
        kept.into_iter().chain(lost)
    });
    let ratios = ratios.collect();
    Ok(Report {
        name: "slow",
        title: "The same changes, and somebody who does not keep up".to_owned(),
        about: format!(
            "The changes of `burst` in transactions of 100, among {} instances, and then three times as many by another follower. What is kept \
             for somebody who is slow must not grow with the number of changes: what three times as many take more, for each of those that \
             were more, is judged; {KEPT} bytes were not promised by anybody: a notification that waits in the channel of the bare client takes more than a hundred, and \
             we want to stay well below. A thread that is blocked is so until all is written, and then for {BLOCKED} times as long as the session of its \
             process lasts, which is {SESSION_OF_BLOCKED:?}. What does not arrive waits in the server, one notification for each change. Memory is the most \
             that the kernel saw in the follower, a process of its own; that of the server, which keeps what it ever had, is what it holds after \
             that and all before.",
            grouped(among(count)?.get().into())
        ),
        server: stage.server().await?,
        rounds,
        figures: all.into_iter().flat_map(Figures::all).collect(),
        ratios,
    })
}

/// How many changes are made where nothing counts.
fn warm_up(count: u32) -> u32 {
    let few = count / WARM_UP;
    (few - few % PER_INSTANCE).max(PER_INSTANCE * PER_INSTANCE)
}

/// How many connections and sessions it lost, where it can be measured.
async fn one_round(
    stage: &Stage,
    figures: &mut Figures,
    name: &str,
    count: u32,
    times: u32,
) -> anyhow::Result<Option<usize>> {
    let slow = figures.slow;
    let way = if slow.is_way() { stage.way().await? } else { None };
    if slow.is_way() && way.is_none() {
        // The way to somebody else's server is not made slow here.
        return Ok(None);
    }
    let service = stage.service(name).await?;
    let directory = stage.directory(&service);
    let among = among(count)?;
    let changes = Changes::plan(stage, &service, among, count * times).await?;
    changes.fill().await?;
    let mut follower = Child::start(&Role::FollowSlowly {
        connect: stage.through(way.as_ref()),
        service: service.to_string(),
        session_ms: u64::try_from(slow.session().as_millis())?,
        consumer: if slow == Slow::Thread { Consumer::Blocks } else { Consumer::Away },
    })?;
    let before = match slow {
        Slow::User | Slow::Thread | Slow::Server | Slow::Way => {
            let whole = follower.ask(&Ask::Whole { len: usize::try_from(among.get())? }).await?;
            match &way {
                Some(way) if slow == Slow::Way => way.stall(Direction::ToClient),
                Some(way) => way.delay(DELAY),
                None => {}
            }
            whole
        }
        Slow::ServerAtFirst => {
            let connected = follower.ask(&Ask::State).await?;
            if let Some(way) = &way {
                way.delay(DELAY);
            }
            connected
        }
    };
    if slow == Slow::Thread {
        follower.expect(&Ask::Block).await?;
    }
    let (told, requests) = stage
        .counted(async {
            changes.write(Way::Together).await?;
            if slow == Slow::Thread {
                // It was blocked by the first list that came of all that.
                let granted = follower.told().await?.granted_ms;
                sleep(BLOCKED * Duration::from_millis(granted)).await;
            }
            if let Some(way) = way.as_ref().filter(|_| slow == Slow::Way) {
                way.flow();
            }
            let since = now_ns();
            let told = follower
                .ask(&Ask::Equals { last: changes.last.clone(), fingerprint: changes.fingerprint })
                .await?;
            if times == 1 {
                figures.caught_up.push(millis_until(since, &told));
            }
            Ok(told)
        })
        .await?;
    stage.must_have(&directory, changes.left).await?;
    let peak = if times == 1 { &mut figures.peak } else { &mut figures.peak_of_thrice };
    peak.push(mebibytes(told.memory.peak_kb));
    if times == 3 {
        figures.server.push_known(server_memory(stage)?);
    }
    if let (1, Some(requests)) = (times, requests) {
        let others = requests.saturating_sub(changes.requests(Way::Together) as u64);
        figures.requests.push(others as f64 * 1_000.0 / changes.count() as f64);
    }
    if let Some(way) = &way {
        way.delay(Duration::ZERO);
    }
    follower.stop().await?;
    drop(changes);
    stage.until_children(&directory, 0).await?;
    Ok(Some(told.connections - before.connections + told.lost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_for_each_change_that_was_more() {
        let mut figures = Figures::new(Slow::User);
        figures.peak.push(10.0);
        figures.peak_of_thrice.push(26.0);
        figures.compare(200_000);
        assert_eq!(figures.kept.values[0].round(), 84.0);
    }

    #[test]
    fn what_only_warms_up_can_be_measured_at_every_size() {
        assert_eq!([100, 1_000, 100_000, 30_010].map(warm_up), [100, 100, 10_000, 3_000]);
    }
}
