//! After any sequence of faults, what is followed is what is there.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Process, T, data, id, path, time, value};
use proto::{InstanceId, NodeData};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use registry::{Discovery, Options, Registration, Source, View};
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::{FakeZk, Snapshot};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What a reader of the tree finds: the good instances, and the paths of the bad ones.
type Truth = (BTreeMap<String, NodeData>, Vec<String>);

fn truth(zk: &FakeZk) -> Truth {
    let (mut good, mut bad) = (BTreeMap::new(), Vec::new());
    for name in zk.children(common::DIR) {
        let node = zk.get(&path(&name)).expect("it was listed");
        match (InstanceId::parse(&name), proto::decode(&node.data)) {
            (Ok(_), Ok(data)) => _ = good.insert(name, data),
            _ => bad.push(path(&name)),
        }
    }
    (good, bad)
}

fn said(view: &View) -> Truth {
    let good = view.entries.iter().map(|instance| (instance.id.to_string(), instance.data.clone()));
    (good.collect(), view.bad.iter().map(|node| node.path.clone()).collect())
}

/// A small world: two who announce, one who follows, and somebody who does as he likes.
struct World {
    zk: FakeZk,
    random: StdRng,
    servers: Vec<Process>,
    registrations: BTreeMap<&'static str, Registration>,
    client: Process,
    discovery: Discovery,
    earlier: Option<Snapshot>,
    rolled_back: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let zk = FakeZk::default().with_seed(seed);
        let servers = vec![Process::start(&zk), Process::start(&zk)];
        let client = Process::start(&zk);
        let options = Options { max_entries: 8, ..Options::default() };
        let discovery = client.registry.follow_with(&time(), options);
        let random = StdRng::seed_from_u64(seed);
        let registrations = BTreeMap::new();
        Self { zk, random, servers, registrations, client, discovery, earlier: None, rolled_back: false }
    }

    fn name(&mut self) -> &'static str {
        NAMES.choose(&mut self.random).expect("there are names")
    }

    fn anybody(&mut self) -> &Process {
        match self.random.random_range(0..4) {
            index @ 0..=1 => &self.servers[index],
            _ => &self.client,
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        match self.random.random_range(0..4) {
            0 => b"broken".to_vec(),
            _ => value(self.random.random_range(0..1_000)),
        }
    }

    /// One thing that can happen.
    async fn step(&mut self) {
        let (name, bytes) = (self.name(), self.bytes());
        let zk = self.zk.clone();
        // Our own instances are of one half of the names, so that strangers do not only take their places.
        let own = NAMES[..3].choose(&mut self.random).expect("there are names");
        match self.random.random_range(0..26) {
            0..=2 => zk.put(&path(name), bytes),
            3..=4 => zk.put_ephemeral(&path(name), bytes, zk.stranger()),
            5..=7 => _ = zk.remove(&path(name)),
            8 => {
                zk.remove(&path(name));
                zk.put(&path(name), bytes);
            }
            9 => _ = zk.remove(common::DIR),
            10 => {
                for index in 0..9 {
                    zk.put(&path(&format!("x{index}")), value(1));
                }
            }
            11 => (0..9).for_each(|index| _ = zk.remove(&path(&format!("x{index}")))),
            12..=13 => {
                if let Some(session) = self.anybody().client.session() {
                    zk.disconnect(session);
                }
            }
            14..=15 => {
                if let Some(session) = self.anybody().client.session() {
                    zk.expire(session);
                }
            }
            16 => {
                let reachable = self.random.random();
                self.anybody().client.set_reachable(reachable);
            }
            17 => zk.set_reachable(self.random.random()),
            18 => zk.hold_watches(self.random.random()),
            19 => zk.lose_next_reply(),
            20 => zk.drop_next_request(),
            21 => match (&self.earlier, self.random.random()) {
                (Some(snapshot), true) => {
                    zk.restore(snapshot);
                    self.rolled_back = true;
                }
                _ => self.earlier = Some(zk.snapshot()),
            },
            22..=23 => {
                let index = self.random.random_range(0..self.servers.len());
                let weight = self.random.random_range(0..1_000);
                if let Some(registration) = self.registrations.get(own) {
                    // An instance that was replaced cannot be updated, and says so.
                    let _ = registration.set_weight(weight);
                } else if let Ok(new) =
                    self.servers[index].registry.announce_as(&time(), id(own), data(weight))
                {
                    self.registrations.insert(own, new);
                }
            }
            24 => _ = self.registrations.remove(own),
            _ => sleep(T.mul_f64(self.random.random_range(0.0..0.6))).await,
        }
        for _ in 0..self.random.random_range(0..6) {
            tokio::task::yield_now().await;
        }
        if self.random.random_bool(0.3) {
            sleep(Duration::from_millis(self.random.random_range(0..300))).await;
        }
    }

    /// Everything works again, and nobody does anything any more.
    fn heal(&self) {
        self.zk.hold_watches(false);
        self.zk.set_reachable(true);
        for process in self.servers.iter().chain([&self.client]) {
            process.client.set_reachable(true);
        }
        (0..9).for_each(|index| _ = self.zk.remove(&path(&format!("x{index}"))));
    }

    /// How long until the view is the truth and stays it; `None` when that takes longer than `limit`.
    async fn converges(&self, limit: Duration) -> Option<Duration> {
        let healed = Instant::now();
        let is_true = || {
            let view = self.discovery.view().borrow().clone();
            view.is_some_and(|view| view.source == Source::Live && said(&view) == truth(&self.zk))
        };
        let mut views = self.discovery.view();
        let converged = async {
            while !is_true() {
                tokio::select! {
                    changed = views.changed() => changed.expect("the discovery is there"),
                    () = sleep(Duration::from_millis(10)) => {}
                }
            }
        };
        timeout(limit, converged).await.ok()?;
        let took = healed.elapsed();
        // Long enough for all that could still be on its way.
        for _ in 0..100 {
            sleep(3 * T / 100).await;
            assert!(
                is_true() || self.converges_again(&is_true).await,
                "it was the truth, and then it was not: {:#?} but there is {:#?}",
                self.discovery.view().borrow().as_ref().map(|view| (view.source, said(view))),
                truth(&self.zk),
            );
        }
        Some(took)
    }

    /// Sessions of before the healing end within T and take nodes with them, which their owners restore; and in a
    /// young session of ours, what goes is kept until that is T old.
    async fn converges_again(&self, is_true: &impl Fn() -> bool) -> bool {
        let again = async {
            while !is_true() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(T, again).await.is_ok()
    }

    /// Every instance that we announced and still want is registered by us, with the latest data, or says otherwise.
    fn all_are_registered(&self) -> bool {
        self.registrations.values().all(|registration| match &*registration.status().borrow() {
            registry::Status::Registered { path, session } => {
                let node = self.zk.get(path);
                node.is_some_and(|node| {
                    node.stat.owner == Some(*session)
                        && proto::decode(&node.data).ok() == Some(registration.data())
                })
            }
            // A node that somebody without a session put in our place, again and again: told, and left alone.
            registry::Status::Registering { problem } => problem.is_some(),
            registry::Status::Replaced => true,
            registry::Status::Withdrawn => false,
        })
    }
}

fn seeds() -> std::ops::Range<u64> {
    let first = std::env::var("TRUTH_SEED").ok().and_then(|seed| seed.parse().ok());
    first.map_or(0..200, |first| first..first + 1)
}

/// In a new session whoever is missing is kept until the session timeout has passed; so is the limit.
#[tokio::test(start_paused = true)]
async fn the_view_is_the_truth_after_any_sequence_of_faults() {
    for seed in seeds() {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.step().await;
        }
        world.heal();
        let limit = T + Duration::from_secs(if world.rolled_back { 5 } else { 2 });
        let converged = world.converges(limit).await;
        assert!(
            converged.is_some(),
            "seed {seed}: the view is {:#?}, the truth {:#?}, rolled back: {}",
            world.discovery.view().borrow().as_ref().map(|view| (view.source, said(view))),
            truth(&world.zk),
            world.rolled_back,
        );
        assert!(
            world.all_are_registered(),
            "seed {seed}: {:#?} but there is {:#?}",
            world
                .registrations
                .values()
                .map(|r| (r.path().to_owned(), r.status().borrow().clone()))
                .collect::<Vec<_>>(),
            truth(&world.zk),
        );
    }
}
