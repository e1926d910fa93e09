//! Several ways to pick, taken turn about.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use criterion::{Criterion, SamplingMode};

use crate::clock;
use crate::list::{Weights, scatter};
use crate::measure::{Lap, Sample, estimate, median, quantile, sample};

/// Several ways to pick the same. The first is what criterion's statistics are of; each round has a lap of every one, so that
/// whatever else the machine does meets all of them, and ratios are taken within a round.
pub(crate) struct Race<'a> {
    of: Case,
    racers: Vec<Racer<'a>>,
    compared: Vec<(&'static str, &'static str, Option<f64>)>,
}

struct Racer<'a> {
    name: &'static str,
    lap: Lap<'a>,
    /// It sleeps while another thread has its lock: not to be on a processor is no disturbance then.
    sleeps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) family: &'static str,
    pub(crate) many: usize,
    pub(crate) weights: Weights,
    pub(crate) threads: usize,
}

impl Case {
    fn on(self) -> &'static str {
        if self.threads == 1 { "1 thread" } else { "2 threads" }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.many, self.weights.as_str(), self.on())
    }
}

/// How long a race may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
    /// So much longer where the rounds were disturbed.
    pub(crate) more: Duration,
}

/// What came out of a race.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) of: Case,
    pub(crate) times: Vec<Time>,
    pub(crate) ratios: Vec<Ratio>,
}

#[derive(Clone, Debug)]
pub(crate) struct Time {
    pub(crate) of: &'static str,
    pub(crate) nanos: f64,
    /// Whether there were enough laps in which nothing came between.
    pub(crate) clean: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Ratio {
    pub(crate) of: &'static str,
    pub(crate) to: &'static str,
    pub(crate) value: f64,
    /// Between these are half of the rounds.
    pub(crate) middle: (f64, f64),
    pub(crate) at_most: Option<f64>,
    pub(crate) clean: bool,
}

impl Ratio {
    pub(crate) fn is_reached(&self) -> Option<bool> {
        self.at_most.map(|limit| self.value <= limit)
    }
}

impl Outcome {
    pub(crate) fn ratio(&self, of: &str, to: &str) -> Option<&Ratio> {
        self.ratios.iter().find(|it| it.of == of && it.to == to)
    }

    pub(crate) fn time(&self, of: &str) -> Option<&Time> {
        self.times.iter().find(|it| it.of == of)
    }
}

/// What a lap of one thread, and of several, takes. Those of several are short, to fit between whatever else runs.
const LAP: f64 = 1_000_000.0;
const LAP_TOGETHER: f64 = 400_000.0;

/// The most instances for which anything is to be reached.
const JUDGED: usize = 10_000;

/// So many rounds without a disturbance are enough.
const ENOUGH: usize = 5;

impl<'a> Race<'a> {
    pub(crate) fn new(of: Case) -> Self {
        Self { of, racers: Vec::new(), compared: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: &'static str, lap: Lap<'a>) {
        self.racers.push(Racer { name, lap, sleeps: false });
    }

    /// One that threads share behind a mutex.
    pub(crate) fn add_sleeping(&mut self, name: &'static str, lap: Lap<'a>) {
        self.racers.push(Racer { name, lap, sleeps: true });
    }

    /// One is compared to another: at most so many times its time is to be reached, if anything is, by up to ten thousand
    /// instances. More are for information.
    pub(crate) fn compare(&mut self, of: &'static str, to: &'static str, at_most: Option<f64>) {
        let is_here = |name| self.racers.iter().any(|racer| racer.name == name);
        if is_here(of) && is_here(to) {
            self.compared.push((of, to, at_most.filter(|_| self.of.many <= JUDGED)));
        }
    }

    pub(crate) fn run(self, criterion: &mut Criterion, pace: Pace) -> Outcome {
        let Case { family, many, weights, threads } = self.of;
        let estimates: Vec<_> = self.racers.iter().map(|racer| estimate(&racer.lap, threads)).collect();
        let lap = if threads == 1 { LAP } else { LAP_TOGETHER };
        let picks_of_a_lap = (lap / estimates[0]).max(1.0) as u64;
        let rounds = RefCell::new(Vec::new());
        let mut group = criterion.benchmark_group(family);
        group.sample_size(10).sampling_mode(SamplingMode::Flat).nresamples(1001);
        group.warm_up_time(pace.warm_up).measurement_time(pace.measure);
        let id = format!("{many}/{}/{}", weights.as_str(), self.of.on());
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|picks| {
                let (mut left, mut nanos) = (picks, 0.0);
                while left > 0 {
                    let now = left.min(picks_of_a_lap);
                    let round = self.round(now, &estimates, rounds.borrow().len());
                    nanos += round[0].nanos * now as f64;
                    // A short lap is mostly the looking at the clock.
                    if now * 2 > picks_of_a_lap {
                        rounds.borrow_mut().push(round);
                    }
                    left -= now;
                }
                Duration::from_nanos(nanos as u64)
            });
        });
        group.finish();
        let mut rounds = rounds.into_inner();
        let begin = clock::wall();
        while !self.is_enough(&rounds) && begin.elapsed() < pace.more {
            rounds.push(self.round(picks_of_a_lap, &estimates, rounds.len()));
        }
        self.outcome(&rounds)
    }

    /// A lap of each, in another order each time.
    fn round(&self, picks: u64, estimates: &[f64], number: usize) -> Vec<Sample> {
        let many = self.racers.len();
        let mut round = vec![Sample { nanos: f64::NAN, clean: false }; many];
        let mut order: Vec<_> = (0..many).collect();
        order.sort_by_key(|at| scatter((number * many + at) as u64));
        for at in order {
            let Racer { lap, sleeps, .. } = &self.racers[at];
            let picks = (picks as f64 * estimates[0] / estimates[at]).max(1.0) as u64;
            round[at] = sample(lap, self.of.threads, picks);
            round[at].clean |= *sleeps;
        }
        round
    }

    /// Whether each comparison has rounds without a disturbance.
    fn is_enough(&self, rounds: &[Vec<Sample>]) -> bool {
        let enough =
            |(of, to, _): &(&str, &str, Option<f64>)| self.clean(rounds, of, to).nth(2 * ENOUGH).is_some();
        self.compared.iter().all(enough)
    }

    /// The ratios of two in the rounds that count. Alone the clock of the thread counts no disturbance.
    fn clean(&self, rounds: &[Vec<Sample>], of: &str, to: &str) -> impl Iterator<Item = f64> {
        let (mine, its, alone) = (self.place(of), self.place(to), self.of.threads == 1);
        let clean = move |round: &&Vec<Sample>| alone || (round[mine].clean && round[its].clean);
        rounds.iter().filter(clean).map(move |round| round[mine].nanos / round[its].nanos)
    }

    fn place(&self, name: &str) -> usize {
        self.racers.iter().position(|racer| racer.name == name).expect("it was added")
    }

    fn outcome(&self, rounds: &[Vec<Sample>]) -> Outcome {
        let times = self.racers.iter().enumerate().map(|(at, racer)| time(racer.name, rounds, at)).collect();
        let ratio = |&(of, to, at_most): &(&'static str, &'static str, Option<f64>)| {
            let mut values: Vec<_> = self.clean(rounds, of, to).collect();
            let clean = values.len() >= ENOUGH;
            if !clean {
                let nanos = |name| time(name, rounds, self.place(name)).nanos;
                values = vec![nanos(of) / nanos(to)];
            }
            let part = |part| quantile(values.iter().copied(), part);
            Ratio { of, to, value: part(0.5), middle: (part(0.25), part(0.75)), at_most, clean }
        };
        Outcome { of: self.of, times, ratios: self.compared.iter().map(ratio).collect() }
    }
}

/// The median of the undisturbed laps; where there are too few, the lower quartile of all.
fn time(of: &'static str, rounds: &[Vec<Sample>], at: usize) -> Time {
    let laps = || rounds.iter().map(|round| round[at]);
    let undisturbed: Vec<_> = laps().filter(|lap| lap.clean).map(|lap| lap.nanos).collect();
    let clean = undisturbed.len() >= ENOUGH;
    let nanos = if clean { median(undisturbed) } else { quantile(laps().map(|lap| lap.nanos), 0.25) };
    Time { of, nanos, clean }
}
