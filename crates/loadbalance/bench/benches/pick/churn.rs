//! Single picks while the list changes a hundred times a second.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use loadbalance::{Balancer, Instances, Name, Request};
use quanta::Clock;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::interval;

use crate::clock;
use crate::list::{Weights, instance};
use crate::measure::median;

/// The slowest of a thousand picks, quiet and while the list changes.
#[derive(Clone, Debug)]
pub(crate) struct Churn {
    pub(crate) name: Name,
    /// Nanoseconds, without the reading of the clock.
    pub(crate) quiet: Tail,
    pub(crate) churning: Tail,
    /// Of the p99.9, within rounds.
    pub(crate) ratio: f64,
    /// How many lists came, and how many were prepared for: those that came meanwhile are passed over.
    pub(crate) changes: u64,
    pub(crate) prepared: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) most: f64,
}

pub(crate) const MANY: usize = 10_000;
pub(crate) const PER_SECOND: u32 = 100;
pub(crate) const AT_MOST: f64 = 3.0;

type Lists = watch::Sender<Option<Instances>>;

pub(crate) fn churn(name: Name, quick: bool) -> Churn {
    let (rounds, each) =
        if quick { (3, Duration::from_millis(300)) } else { (7, Duration::from_millis(600)) };
    let runtime =
        Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads can be had");
    let first: Instances =
        (0..MANY).map(|place| Arc::new(instance(place, Weights::Mixed.of(place)))).collect();
    let lists: Lists = watch::Sender::new(Some(first));
    let balancer = {
        let _in_runtime = runtime.enter();
        Balancer::follow(lists.subscribe(), name.algorithm())
    };
    let changing = AtomicBool::new(false);
    let (mut quiet, mut churning, mut changes, mut prepared) = (Vec::new(), Vec::new(), 0, 0);
    thread::scope(|scope| {
        let picking = Picking { balancer: &balancer, name, clock: Clock::new() };
        picking.tail(each / 3);
        for _ in 0..rounds {
            quiet.push(picking.tail(each).0);
            changing.store(true, Relaxed);
            let changed = scope.spawn(|| runtime.block_on(change(&lists, &changing)));
            let (tail, seen) = picking.tail(each);
            changing.store(false, Relaxed);
            changes += changed.join().expect("a change does not panic");
            churning.push(tail);
            prepared += seen;
            // Until the last list is there.
            settle(&balancer);
        }
    });
    let ratio = median(quiet.iter().zip(&churning).map(|(quiet, churning)| churning.p999 / quiet.p999));
    Churn { name, quiet: middle(&quiet), churning: middle(&churning), ratio, changes, prepared }
}

/// One list after the other: a weight changes, somebody leaves, somebody comes back. How many there were.
async fn change(lists: &Lists, changing: &AtomicBool) -> u64 {
    let mut ticks = interval(Duration::from_secs(1) / PER_SECOND);
    let mut changes = 0;
    while changing.load(Relaxed) {
        ticks.tick().await;
        let place = (changes as usize * 7919) % MANY;
        let mut list = lists.borrow().iter().flat_map(|list| list.iter().cloned()).collect::<Vec<_>>();
        match changes % 3 {
            0 => list[place % MANY] = Arc::new(instance(place, 1 + changes as u32 % 100)),
            1 => drop(list.pop()),
            _ => list.push(Arc::new(instance(MANY - 1, Weights::Mixed.of(MANY - 1)))),
        }
        lists.send_replace(Some(list.into()));
        changes += 1;
    }
    changes
}

/// Waits until the lists that came are prepared for.
fn settle(balancer: &Balancer) {
    let mut seen = balancer.candidates();
    loop {
        thread::park_timeout(Duration::from_millis(700));
        let now = balancer.candidates();
        if Arc::ptr_eq(&now, &seen) {
            return;
        }
        seen = now;
    }
}

/// In which steps the processor's counter advances, in nanoseconds.
pub(crate) fn step() -> u64 {
    let clock = Clock::new();
    let once = || {
        let from = clock.raw();
        (0..1000).map(|_| clock.delta_as_nanos(from, clock.raw())).find(|nanos| *nanos > 0)
    };
    (0..1000).filter_map(|_| once()).min().unwrap_or_default()
}

struct Picking<'a> {
    balancer: &'a Balancer,
    name: Name,
    clock: Clock,
}

/// Picks in a row between looks at how late it is.
const BETWEEN_LOOKS: usize = 1000;

impl Picking<'_> {
    /// The tail of single picks by a handle, each with a guard; and how many lists were seen.
    fn tail(&self, limit: Duration) -> (Tail, u64) {
        let mut handle = self.balancer.handle();
        let mut histogram = vec![0u64; 1 << 16];
        let (mut most, mut lists, mut list) = (0, 0, Arc::as_ptr(&self.balancer.candidates()));
        let urls: Vec<_> = (0..BETWEEN_LOOKS).map(|number| format!("/data/video?id={number}")).collect();
        let begin = clock::wall();
        while begin.elapsed() < limit {
            for (number, url) in urls.iter().enumerate() {
                let request = match self.name {
                    Name::UrlHash => Request::url(url),
                    Name::IpHash => Request::client(std::net::Ipv4Addr::from(number as u32)),
                    _ => Request::default(),
                };
                let from = self.clock.raw();
                drop(black_box(handle.pick(&request)));
                let nanos = self.clock.delta_as_nanos(from, self.clock.raw());
                most = most.max(nanos);
                histogram[(nanos as usize).min((1 << 16) - 1)] += 1;
            }
            let now = Arc::as_ptr(&self.balancer.candidates());
            lists += u64::from(!std::ptr::addr_eq(now, list));
            list = now;
        }
        let reading = self.reading();
        let of = |part: f64| (quantile(&histogram, part) - reading).max(1.0);
        (Tail { median: of(0.5), p99: of(0.99), p999: of(0.999), most: most as f64 }, lists)
    }

    /// What reading the clock takes by itself.
    fn reading(&self) -> f64 {
        let once = |_| {
            let from = self.clock.raw();
            self.clock.delta_as_nanos(from, self.clock.raw()) as f64
        };
        median((0..10_000).map(once))
    }
}

fn quantile(histogram: &[u64], part: f64) -> f64 {
    let all: u64 = histogram.iter().sum();
    let mut left = (part * all as f64) as u64;
    let found = histogram.iter().position(|count| {
        let here = left < *count;
        left = left.saturating_sub(*count);
        here
    });
    found.unwrap_or(histogram.len()) as f64
}

fn middle(rounds: &[Tail]) -> Tail {
    let of = |part: fn(&Tail) -> f64| median(rounds.iter().map(part));
    Tail { median: of(|it| it.median), p99: of(|it| it.p99), p999: of(|it| it.p999), most: of(|it| it.most) }
}
