//! How long a session lives on servers that are cut off from each other, and that a lease never says more.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod real;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use real::{connected, options, soon, zookeeper};
use tokio::sync::watch;
use tokio::time::sleep;
use zk_local::{Ensemble, Proxy, Server};
use zk_session::{
    BootClock, Clock, Connect, Grant, Keeper, Kind, Lease, Moment, Name, Op, Presence, Renewal, Session,
    Spec, Status, What, ZooKeeper,
};

/// As long as the session's timeout allows: the longer it is, the later a follower tells of its clients.
const TICK: Duration = Duration::from_secs(1);
const T: Duration = Duration::from_secs(2);

/// Three servers, of which one that follows can be cut off, and who sees on another one when nodes go.
struct Divided {
    ensemble: Ensemble,
    follower: usize,
    witness: Arc<dyn Session>,
    deleted: watch::Receiver<HashMap<String, Moment>>,
    _zookeeper: ZooKeeper,
}

impl Divided {
    async fn start() -> Self {
        let servers = Server::builder().tick(TICK);
        let ensemble = Ensemble::builder(3).servers(servers).separable().start().await.unwrap();
        let leader = ensemble.leader().await.unwrap();
        let follower = (leader + 1) % 3;
        let zookeeper =
            options(ensemble.server(leader).connect_string()).session_timeout(10 * T).build().unwrap();
        let witness = connected(&zookeeper).await;
        let mut changes = witness.watch_tree("/").await.unwrap();
        let (seen, deleted) = watch::channel(HashMap::new());
        tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                if change.what == What::Deleted {
                    let now = BootClock.now();
                    seen.send_modify(|deleted| {
                        deleted.insert(change.path, now);
                    });
                }
            }
        });
        Self { ensemble, follower, witness, deleted, _zookeeper: zookeeper }
    }

    fn follower(&self) -> &Server {
        self.ensemble.server(self.follower)
    }

    /// Cuts the follower off. Returns when that was done.
    fn divide(&self) -> Moment {
        self.ensemble.isolate(self.follower).unwrap();
        BootClock.now()
    }

    /// Lets the follower reach the others again, and waits until it is one of them.
    async fn unite(&self) {
        self.ensemble.rejoin(self.follower).unwrap();
        let zookeeper = zookeeper(self.follower().connect_string());
        soon(async { while connected(&zookeeper).await.sync("/").await.is_err() {} }).await;
        zookeeper.close().await;
    }

    /// When the node went after that.
    async fn deleted(&self, path: &str, after: Moment) -> Moment {
        let mut deleted = self.deleted.clone();
        let is_deleted = |deleted: &HashMap<String, Moment>| deleted.get(path).is_some_and(|at| *at >= after);
        soon(deleted.wait_for(is_deleted)).await.expect("the witness is connected")[path]
    }
}

/// A client with a node, on one server, and everything that it was ever granted.
struct Client {
    keeper: Keeper,
    path: String,
    _presence: Presence,
}

impl Client {
    async fn start(connect: impl std::fmt::Display, name: &str) -> Self {
        let keeper = Keeper::start(options(connect).session_timeout(T).build().unwrap());
        let spec = Spec {
            directory: "/".to_owned(),
            name: Name::Own(name.to_owned()),
            data: Vec::new(),
            parents: Kind::Persistent,
        };
        let presence = Presence::hold(keeper.sessions(), spec).unwrap();
        let mut status = presence.status();
        let held = soon(status.wait_for(|now| matches!(now, Status::Held(_)))).await.unwrap().clone();
        let Status::Held(held) = held else { panic!("{held:?}") };
        assert_eq!(held.link.timeout(), T);
        Self { keeper, path: held.path, _presence: presence }
    }

    fn now(&self) -> Moment {
        self.keeper.sessions().now()
    }

    fn renew(&self) -> Leased {
        let lease = self.keeper.sessions().lease();
        let (renewal, mut grants) = (lease.renew_with(&self.path), lease.grants());
        let (note, told) = watch::channel(Vec::new());
        let sessions = self.keeper.sessions();
        tokio::spawn(async move {
            while grants.changed().await.is_ok() {
                if let Some(grant) = *grants.borrow_and_update() {
                    note.send_modify(|told| told.push((sessions.now(), grant)));
                }
            }
        });
        Leased { told, _renewal: renewal, _lease: lease }
    }
}

struct Leased {
    /// Everything that was granted, and when.
    told: watch::Receiver<Vec<(Moment, Grant)>>,
    _renewal: Renewal,
    _lease: Lease,
}

impl Leased {
    fn newest(&self) -> Option<(Moment, Grant)> {
        self.told.borrow().last().copied()
    }

    /// The next grant that is not over when it is told.
    async fn next(&mut self) -> Grant {
        let before = self.newest().map(|(_, grant)| grant);
        let is_new = |told: &Vec<(Moment, Grant)>| {
            told.last().is_some_and(|&(at, grant)| Some(grant) != before && at < grant.until)
        };
        soon(self.told.wait_for(is_new)).await.unwrap().last().unwrap().1
    }
}

/// Waits until the client's node is gone, sees that all was as it was granted, and returns how much longer the node lived.
async fn outlived(divided: &Divided, client: &Client, leased: &Leased, cut_off: Moment) -> Duration {
    let deleted = divided.deleted(&client.path, cut_off).await;
    // Also of what was told late, for on a busy machine an answer that was on its way is taken in after a while.
    let (_, granted) = leased.newest().expect("it had a lease");
    let until = granted.until;
    assert!(deleted >= until, "the node went {:?} before the end of the lease", until.since(deleted));
    // What is kept back for clocks that differ is not needed here: all have the same.
    let (margin, more) = (T / 5, deleted.since(until));
    assert!(
        more >= margin,
        "the node went {:?} before the session's time was over",
        margin.saturating_sub(more)
    );
    more
}

/// A new session with a node that was written to, and when it began to be made: another one where a busy machine loses the connection meanwhile.
async fn young(server: &Server, round: u32) -> (ZooKeeper, Arc<dyn Session>, String, Moment) {
    for attempt in 0..20 {
        let zookeeper = options(server.connect_string()).session_timeout(T).build().unwrap();
        let before = BootClock.now();
        let Ok(session) = soon(zookeeper.connect()).await else { continue };
        let path = format!("/young-{round}-{attempt}");
        let check = [Op::Check { path: path.clone(), version: None }];
        if session.create(&path, b"", Kind::Ephemeral).await.is_ok() && session.commit(&check).await.is_ok() {
            return (zookeeper, session, path, before);
        }
    }
    panic!("no connection lasts for three requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_making_of_a_session_starts_its_clock_at_the_leader_of_the_servers() {
    let divided = Divided::start().await;
    for round in 0..4 {
        let (zookeeper, session, path, before) = young(divided.follower(), round).await;
        let cut_off = divided.divide();
        assert_eq!(session.timeout(), T);
        let lived = divided.deleted(&path, before).await.since(before);
        eprintln!("cut off {:?} after it began, a new session lived {lived:?}", cut_off.since(before));
        assert!(lived >= T, "it lived {lived:?}");
        drop(zookeeper);
        divided.unite().await;
        // Otherwise the next one's clock would be like this one's: servers count by ticks.
        sleep(TICK / 5 * round).await;
    }
    assert!(divided.witness.exists("/").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_goes_before_the_lease_ends_whenever_its_server_is_cut_off() {
    let divided = Divided::start().await;
    for round in 0..5 {
        let on_follower = divided.follower().connect_string();
        let mut steady = Vec::new();
        for index in 0..2 {
            let client = Client::start(&on_follower, &format!("steady-{round}-{index}")).await;
            let leased = client.renew();
            steady.push((client, leased));
        }
        let late = Client::start(&on_follower, &format!("late-{round}")).await;
        // What its making proves is over then, and nobody asked anything since.
        sleep(T + TICK / 7 * round).await;
        let mut leased = late.renew();
        leased.next().await;
        sleep(T / 50 * round).await;
        let cut_off = divided.divide();
        steady.push((late, leased));

        for (client, leased) in &steady {
            let more = outlived(&divided, client, leased, cut_off).await;
            let (told, grant) = leased.newest().unwrap();
            eprintln!(
                "{}: granted {:?} before the cut until {:?} after it; the node went {more:?} later",
                client.path,
                cut_off.since(told),
                grant.until.since(cut_off)
            );
        }
        divided.unite().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_goes_before_the_lease_ends_that_a_session_has_on_another_connection() {
    let divided = Divided::start().await;
    let proxy = Proxy::start(divided.follower().address()).await.unwrap();
    let mut rounds = 0;
    for round in 0..20 {
        let client = Client::start(proxy.connect_string(), &format!("again-{round}")).await;
        let mut leased = client.renew();
        sleep(T).await;
        let before = leased.next().await;
        proxy.refuse(true);
        proxy.cut();
        sleep(T / 10 * rounds).await;
        proxy.refuse(false);
        let healed = client.now();
        // Nothing else can grant more than the first write on the new connection.
        let after = leased.next().await;
        if after.session != before.session {
            // A busy machine kept it away for longer than the session lives.
            continue;
        }
        let cut_off = divided.divide();
        let more = outlived(&divided, &client, &leased, cut_off).await;
        eprintln!(
            "{}: granted anew {:?} after it could connect, until {:?} after the cut; the node went {more:?} later",
            client.path,
            cut_off.since(healed),
            after.until.since(cut_off)
        );
        divided.unite().await;
        rounds += 1;
        if rounds == 4 {
            return;
        }
    }
    panic!("only {rounds} sessions lived on");
}
