//! Asks all candidates again and again whether they lead.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use leader::{Leadership, Status, Term};
use tokio::sync::watch;
use zk_session::Moment;

use super::{Candidate, now};

/// Between two rounds of questions, so that the machine does something else, too.
const PAUSE: Duration = Duration::from_micros(50);

/// A thread that asks candidates in turn whether they lead, until it is stopped.
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Report>>,
}

/// What was seen.
pub(crate) struct Report {
    rounds: u64,
    /// The longest time from one round to the next.
    blind: Duration,
    /// In the order in which they were seen to begin.
    pub(crate) reigns: Vec<Reign>,
    overlaps: Vec<(Term, Term)>,
}

/// One leadership, as it was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reign {
    pub(crate) who: usize,
    pub(crate) term: Term,
    /// Before the question that was the first to be answered yes.
    pub(crate) from: Moment,
    /// After the question that was the first to be answered no.
    pub(crate) until: Option<Moment>,
}

impl Sampler {
    pub(crate) fn start<'a>(candidates: impl IntoIterator<Item = &'a Candidate>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let statuses = candidates.into_iter().map(|candidate| candidate.candidacy.status()).collect();
        let stopped = stop.clone();
        let thread = thread::spawn(move || sample(statuses, &stopped));
        Self { stop, thread: Some(thread) }
    }

    /// Sees that there were never two, and that terms never went back, and tells all.
    pub(crate) fn stop(mut self) -> Report {
        self.stop.store(true, Ordering::SeqCst);
        let report = self.thread.take().expect("it is stopped once").join().expect("it never panics");
        eprintln!("{report:?}");
        assert_eq!(report.overlaps, [], "two at a time: {report:?}");
        for pair in report.reigns.windows(2) {
            let (before, after) = (pair[0], pair[1]);
            let grows =
                if before.who == after.who { after.term >= before.term } else { after.term > before.term };
            assert!(grows, "a term went back, or has two owners: {report:?}");
        }
        report
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn sample(statuses: Vec<watch::Receiver<Status>>, stop: &AtomicBool) -> Report {
    let mut report = Report { rounds: 0, blind: Duration::ZERO, reigns: Vec::new(), overlaps: Vec::new() };
    // Of each who leads: the leadership, and which reign that is.
    let mut leading: Vec<Option<(Leadership, usize)>> = statuses.iter().map(|_| None).collect();
    let mut last = now();
    while !stop.load(Ordering::SeqCst) {
        for (who, status) in statuses.iter().enumerate() {
            if let Some((leadership, reign)) = &leading[who]
                && !leadership.holds()
            {
                report.reigns[*reign].until = Some(now());
                leading[who] = None;
            }
            if leading[who].is_none() {
                let before = now();
                let new = match &*status.borrow() {
                    Status::Leading(leadership) if leadership.holds() => leadership.clone(),
                    _ => continue,
                };
                report.reigns.push(Reign { who, term: new.term(), from: before, until: None });
                leading[who] = Some((new, report.reigns.len() - 1));
            }
        }
        let holders: Vec<_> = leading.iter().flatten().map(|(leadership, _)| leadership).collect();
        for (index, one) in holders.iter().enumerate() {
            for other in &holders[index + 1..] {
                // The first held all the time in between, for what was answered no is never a yes again.
                if one.holds() && other.holds() && one.holds() {
                    report.overlaps.push((one.term(), other.term()));
                }
            }
        }
        report.overlaps.dedup();
        report.rounds += 1;
        let this = now();
        report.blind = report.blind.max(this.since(last));
        last = this;
        thread::park_timeout(PAUSE);
    }
    report
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, blind, reigns, overlaps } = self;
        write!(f, "{rounds} rounds, {blind:?} apart at most, {} overlaps", overlaps.len())?;
        let begin = reigns.first().map(|first| first.from);
        for Reign { who, term, from, until } in reigns {
            let since = |moment: Moment| begin.map_or(Duration::ZERO, |begin| moment.since(begin));
            write!(f, "; candidate {who} in term {term} from {:?}", since(*from))?;
            match until {
                Some(until) => write!(f, " until {:?}", since(*until))?,
                None => f.write_str(" on")?,
            }
        }
        Ok(())
    }
}
