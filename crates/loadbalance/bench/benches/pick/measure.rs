//! What a pick takes, on a machine that does other things too.

use std::hint::{black_box, spin_loop};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::list::KEYS;

/// Picks so many times. The second number is where a thread begins among the keys.
pub(crate) type Lap<'a> = Box<dyn Fn(u64, usize) + Sync + 'a>;

/// A lap of picks, each with what `begin` gave to the lap.
pub(crate) fn lap<'a, S, T>(
    begin: impl Fn() -> S + Sync + 'a,
    pick: impl Fn(&mut S, usize) -> T + Sync + 'a,
) -> Lap<'a> {
    Box::new(move |picks, from| {
        let mut state = begin();
        for turn in 0..picks as usize {
            black_box(pick(&mut state, from + turn));
        }
    })
}

/// One lap, timed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// For each pick of all threads.
    pub(crate) nanos: f64,
    /// Nothing else came between.
    pub(crate) clean: bool,
}

pub(crate) fn sample(lap: &Lap<'_>, threads: usize, picks: u64) -> Sample {
    if threads > 1 {
        return together(lap, threads, picks);
    }
    warm_up(lap, picks, 0);
    alone(lap, picks)
}

/// Whoever went before has filled the caches with what is his: a fast one would mostly be seen fetching its own.
fn warm_up(lap: &Lap<'_>, picks: u64, from: usize) {
    lap(picks.min((picks / 2).max(2 * KEYS as u64)), from);
}

/// By the clock of the thread, which stands still while something else runs.
fn alone(lap: &Lap<'_>, picks: u64) -> Sample {
    let (wall, processor) = (clock::wall(), clock::processor());
    lap(picks, 0);
    let (processor, wall) = (clock::processor() - processor, wall.elapsed());
    let clean = processor.as_secs_f64() > 0.9 * wall.as_secs_f64();
    Sample { nanos: processor.as_nanos() as f64 / picks as f64, clean }
}

/// When a thread began and ended, and for how long of that it was on a processor.
struct Span {
    began: Instant,
    ended: Instant,
    processor: Duration,
}

/// By the wall, since the waiting for each other is what is looked for. Clean is what all threads did side by side and
/// without a gap.
fn together(lap: &Lap<'_>, threads: usize, picks: u64) -> Sample {
    let (start, ready) = (Barrier::new(threads), AtomicUsize::new(0));
    let run = |thread: usize| {
        warm_up(lap, picks, thread * 997);
        start.wait();
        // The barrier wakes one after the other.
        ready.fetch_add(1, SeqCst);
        let waiting = clock::wall();
        while ready.load(SeqCst) < threads && waiting.elapsed() < Duration::from_millis(2) {
            spin_loop();
        }
        let (began, processor) = (clock::wall(), clock::processor());
        lap(picks, thread * 997);
        Span { began, processor: clock::processor() - processor, ended: clock::wall() }
    };
    let run = &run;
    let spans: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a pick does not panic")).collect()
    });
    let first = spans.iter().map(|it| it.began).min().expect("there are threads");
    let last = spans.iter().map(|it| it.ended).max().expect("there are threads");
    let both_from = spans.iter().map(|it| it.began).max().expect("there are threads");
    let both_until = spans.iter().map(|it| it.ended).min().expect("there are threads");
    let wall = (last - first).as_secs_f64();
    let both = both_until.saturating_duration_since(both_from).as_secs_f64();
    let busy: f64 = spans.iter().map(|it| it.processor.as_secs_f64()).sum();
    let clean = both > 0.9 * wall && busy > 0.9 * wall * threads as f64;
    Sample { nanos: wall * 1e9 / (picks * threads as u64) as f64, clean }
}

/// About what a pick takes each thread.
pub(crate) fn estimate(lap: &Lap<'_>, threads: usize) -> f64 {
    // The first pick of a thread may have to ask the system for a seed.
    lap(1, 0);
    let mut picks = 1;
    let alone = loop {
        let nanos = alone(lap, picks).nanos.max(0.2);
        if nanos * picks as f64 > 200_000.0 || picks > 1 << 24 {
            break nanos;
        }
        picks *= 4;
    };
    if threads == 1 {
        return alone;
    }
    let picks = (100_000.0 / alone).max(1.0) as u64;
    let together = || together(lap, threads, picks).nanos * threads as f64;
    together().min(together()).min(together())
}
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, part: f64) -> f64 {
    let mut sorted: Vec<_> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((part * last).round() as usize).copied().unwrap_or(f64::NAN)
}
