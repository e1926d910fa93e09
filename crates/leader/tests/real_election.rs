//! Elections on real servers that are cut off, killed and restarted: one acts at a time, and somebody does.

mod real;

use std::sync::Arc;
use std::time::Duration;

use leader::{Lost, Status};
use real::recorder::{Record, Recorder, What};
use real::sampler::Sampler;
use real::{
    CALM, Candidate, LIMIT, T, TICK, connected, directory, ends_in_time, line, now, one_node_each, reached,
    somebody_leads, soon, stand, zookeeper,
};
use tokio::time::sleep;
use zk_local::{Direction, Ensemble, EnsembleBuilder, Proxy, Server};
use zk_session::{Keeper, Op};

/// A session so long that a busy machine is not taken for a dead server, with some latency too.
const LONG: Duration = Duration::from_secs(8);

/// One that does next to nothing by itself while anything is waited for.
const ENDLESS: Duration = Duration::from_secs(300);

fn three() -> EnsembleBuilder {
    Ensemble::builder(3).servers(Server::builder().tick(TICK))
}

/// Where all its servers but this one are reached.
fn all_but(ensemble: &Ensemble, index: usize) -> String {
    let others = ensemble.servers().iter().enumerate().filter(|(other, _)| *other != index);
    others.map(|(_, server)| server.connect_string()).collect::<Vec<_>>().join(",")
}

/// Those who know all servers.
fn everywhere(ensemble: &Ensemble) -> Vec<Candidate> {
    ["a", "b", "c"].map(|id| Candidate::start(ensemble.connect_string(), id)).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_server_is_cut_off_stops_before_the_next_one_begins() {
    let ensemble = three().separable().start().await.unwrap();
    let follower = (ensemble.leader().await.unwrap() + 1) % 3;
    let others = all_but(&ensemble, follower);
    let a = Candidate::start(ensemble.server(follower).connect_string(), "a");

    for round in 0..3u32 {
        let first = a.leads().await;
        let b = Candidate::start(&others, "b");
        b.waits().await;
        let sampler = Sampler::start([&a, &b]);
        // At another phase of the renewals each time.
        sleep(T / 10 + T / 30 * round).await;

        let cut = now();
        ensemble.isolate(follower).unwrap();
        ends_in_time(&first, cut);
        let second = b.leads().await;
        let elected = now();
        assert_eq!((first.holds(), first.reason()), (false, Some(Lost::LeaseEnded)));
        assert!(second.term() > first.term());
        ensemble.rejoin(follower).unwrap();
        assert_eq!(a.waits().await, second.path(), "it stands again, at the end of the line");
        one_node_each(&others, &["a", "b"]).await;
        assert_eq!(b.leads().await.term(), second.term());

        let report = sampler.stop();
        let (ended, begun) = (report.reigns[0].until.expect("it ended"), report.reigns[1].from);
        eprintln!(
            "a leader stopped {:?} after its server was cut off; the next one began {:?} after that, {:?} after the cut",
            ended.since(cut),
            begun.since(ended),
            elected.since(cut)
        );
        assert!(ended < begun);
        b.keeper.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_at_the_leading_server_that_is_cut_off_stops_before_the_next_one_begins() {
    let ensemble = three().separable().start().await.unwrap();
    let cut_off = ensemble.leader().await.unwrap();
    let others = all_but(&ensemble, cut_off);
    let a = Candidate::start(ensemble.server(cut_off).connect_string(), "a");
    let first = a.leads().await;
    let b = Candidate::start(&others, "b");
    b.waits().await;
    let sampler = Sampler::start([&a, &b]);

    let cut = now();
    ensemble.isolate(cut_off).unwrap();
    ends_in_time(&first, cut);
    assert_eq!(soon("the end of the first", first.lost()).await, Lost::LeaseEnded);
    let second = b.leads().await;
    eprintln!("with the leading server cut off, somebody led again after {:?}", now().since(cut));
    assert!(second.term() > first.term());
    ensemble.rejoin(cut_off).unwrap();
    assert_eq!(a.waits().await, second.path());
    one_node_each(&others, &["a", "b"]).await;
    let report = sampler.stop();
    assert!(report.reigns[0].until.expect("it ended") < report.reigns[1].from);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leading_server_dies_one_goes_on_or_another_begins() {
    let ensemble = three().start().await.unwrap();
    let candidates = everywhere(&ensemble);
    let sampler = Sampler::start(&candidates);
    for _ in 0..2 {
        somebody_leads(&candidates).await;
        let leading = ensemble.leader().await.unwrap();
        let killed = now();
        ensemble.server(leading).kill().await.unwrap();
        // Whatever was granted before is over then.
        reached(killed + T).await;
        let leadership = somebody_leads(&candidates).await;
        eprintln!("the leading server was killed; {:?} later {leadership:?} held", now().since(killed));
        ensemble.start_again().await.unwrap();
    }
    one_node_each(ensemble.connect_string(), &["a", "b", "c"]).await;
    somebody_leads(&candidates).await;
    sampler.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nobody_leads_and_the_same_one_goes_on_when_it_is_back() {
    let ensemble = three().start().await.unwrap();
    let candidates = everywhere(&ensemble);
    let before = somebody_leads(&candidates).await;
    one_node_each(ensemble.connect_string(), &["a", "b", "c"]).await;
    let sampler = Sampler::start(&candidates);

    let killed = now();
    for index in [0, 1] {
        ensemble.server(index).kill().await.unwrap();
    }
    ends_in_time(&before, now());
    assert_eq!(soon("its end", before.lost()).await, Lost::LeaseEnded);
    reached(killed + 2 * T).await;
    assert!(candidates.iter().all(|candidate| candidate.leadership().is_none()));
    ensemble.start_again().await.unwrap();
    let back = now();
    let after = somebody_leads(&candidates).await;
    eprintln!("somebody led {:?} after the quorum was back", now().since(back));
    // Nobody could end a session meanwhile, and those who elect a new leader begin to count anew.
    assert_eq!((after.path(), after.term()), (before.path(), before.term()));
    one_node_each(ensemble.connect_string(), &["a", "b", "c"]).await;

    let report = sampler.stop();
    let (last, before) = report.reigns.split_last().expect("somebody led");
    assert!(last.from.since(killed) > 2 * T);
    assert!(before.iter().all(|reign| reign.until.is_some_and(|until| until < last.from)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_all_servers_ends_with_one_leader_and_one_node_each() {
    let ensemble = three().start().await.unwrap();
    let candidates = everywhere(&ensemble);
    somebody_leads(&candidates).await;
    let sampler = Sampler::start(&candidates);
    for server in ensemble.servers() {
        server.restart().await.unwrap();
    }
    let restarted = now();
    reached(restarted + T).await;
    somebody_leads(&candidates).await;
    eprintln!("somebody led {:?} after the last server was restarted", now().since(restarted));
    one_node_each(ensemble.connect_string(), &["a", "b", "c"]).await;
    somebody_leads(&candidates).await;
    let report = sampler.stop();
    assert!(report.reigns.iter().filter(|reign| reign.until.is_none()).count() <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_whose_node_was_made_without_its_knowledge_finds_it_and_leads() {
    let server = Server::start().await.unwrap();
    let proxy = Arc::new(Proxy::start(server.address()).await.unwrap());
    let witness = zookeeper(server.connect_string(), LIMIT);
    let witness = connected(&witness).await;
    let record = Arc::new(Record::default());
    let mut lost = 0;
    // Now and then another request is sent at the same moment, and its answer is lost instead.
    for process in 0..50 {
        let losing = proxy.clone();
        let candidate = Candidate::start_on(
            Recorder {
                zookeeper: zookeeper(proxy.connect_string(), LONG),
                process,
                record: record.clone(),
                before_create: Some(Arc::new(move || losing.lose_next_reply())),
            },
            "one",
        );
        let leadership = candidate.leads().await;
        proxy.heal();
        assert_eq!(line(&*witness).await.unwrap(), ["one"]);
        let node = witness.get(leadership.path()).await.unwrap().expect("its node is there");
        assert_eq!((node.stat.owner, node.stat.czxid), (Some(leadership.session()), leadership.term().0));
        soon("the resignation", candidate.candidacy.resign()).await;
        candidate.keeper.close().await;
        assert_eq!(line(&*witness).await.unwrap(), [""; 0]);
        let creates = record.count(process, What::Create);
        lost += usize::from(record.count(process, What::Lost) == 1 && creates > 0);
        if lost == 3 {
            return;
        }
    }
    panic!("only {lost} answers were lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_delete_ends_a_leadership_and_leaves_one_node_each() {
    let server = Server::start().await.unwrap();
    let zookeeper = zookeeper(server.connect_string(), LIMIT);
    let operator = connected(&zookeeper).await;
    // Nothing but the deletion ends a leadership.
    let start = |id| Candidate::start_on(real::zookeeper(server.connect_string(), CALM), id);
    let candidates = ["a", "b"].map(start);
    let sampler = Sampler::start(&candidates);
    for round in 0..3 {
        let before = somebody_leads(&candidates).await;
        one_node_each(server.connect_string(), &["a", "b"]).await;
        let deleted = now();
        if round == 1 {
            let names = operator.children(&directory()).await.unwrap();
            let paths = names.iter().map(|name| format!("{}/{name}", directory())).chain([directory()]);
            let ops: Vec<_> = paths.map(|path| Op::Delete { path, version: None }).collect();
            operator.commit(&ops).await.unwrap();
        } else {
            operator.delete(before.path(), None).await.unwrap();
        }
        assert_eq!(soon("the end of the first", before.lost()).await, Lost::NodeDeleted);
        let ended = now();
        let after = somebody_leads(&candidates).await;
        let what = if round == 1 { "the directory" } else { "the leader's node" };
        eprintln!(
            "{what} was deleted: it stopped after {:?}, somebody led after {:?}",
            ended.since(deleted),
            now().since(deleted)
        );
        assert!(after.term() > before.term());
        one_node_each(server.connect_string(), &["a", "b"]).await;
    }
    sampler.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_costs_three_requests_of_two_processes_among_however_many() {
    let server = Server::start().await.unwrap();
    for many in [2, 10, 50] {
        let record = Arc::new(Record::default());
        let mut candidates = Vec::new();
        for process in 0..many {
            let recorder = Recorder {
                zookeeper: zookeeper(server.connect_string(), LONG),
                process,
                record: record.clone(),
                before_create: None,
            };
            let candidate = Candidate::start_on(recorder, &format!("c{process}"));
            if process == 0 {
                candidate.leads().await;
            } else {
                candidate.waits().await;
            }
            candidates.push(candidate);
        }
        let mut rest = candidates.split_off(1);
        let first = candidates.remove(0);
        // None is young any more: what is known of them is known by idle requests.
        idle(&record, 1..many, 11).await;
        let old = first.leads().await;

        record.take();
        let resigned = now();
        let resign = soon("the resignation", first.candidacy.resign());
        let ((), next) = tokio::join!(resign, rest[0].leads());
        let took = now().since(resigned);
        assert!(next.term() > old.term());
        // Whoever was woken has asked something before it came to these.
        idle(&record, 2..many, 3).await;
        let requests = record.take();
        let asked: Vec<_> =
            requests.iter().filter(|one| !matches!(one.what, What::Idle | What::Check)).collect();
        eprintln!(
            "{many} candidates: handed over in {took:?} with {asked:?} and a write that proves the lease"
        );
        // And the first of the writes by which it leads.
        assert!(asked.len() < 3, "{asked:?}");
        assert!(asked.iter().all(|request| request.process < 2), "{asked:?}");
        assert!(requests.iter().filter(|one| one.what == What::Check).all(|one| one.process < 2));

        first.keeper.close().await;
        for candidate in rest.drain(..).rev() {
            candidate.keeper.close().await;
        }
    }
}

/// Waits until each of these has sent so many idle requests.
async fn idle(record: &Record, processes: std::ops::Range<usize>, many: usize) {
    soon("idle requests", async {
        for process in processes {
            while record.count(process, What::Idle) < many {
                sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_takes_two_round_trips() {
    const LATENCY: Duration = Duration::from_millis(150);
    let server = Server::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let record = Arc::new(Record::default());
    let start = |process: usize| {
        let zookeeper = zookeeper(proxy.connect_string(), LONG);
        let recorder = Recorder { zookeeper, process, record: record.clone(), before_create: None };
        Candidate::start_on(recorder, &format!("c{process}"))
    };
    let mut leader = start(0);
    leader.leads().await;
    // A busy machine adds to some of them.
    let mut least = f64::MAX;
    for process in 1..=6 {
        let next = start(process);
        next.waits().await;
        idle(&record, process..process + 1, 4).await;
        proxy.delay(LATENCY);
        // One more that is late already.
        let known = record.count(process, What::Idle);
        idle(&record, process..process + 1, known + 2).await;
        let resigned = now();
        let resign = async {
            soon("the resignation", leader.candidacy.resign()).await;
            now().since(resigned)
        };
        let elected = async {
            next.leads().await;
            now().since(resigned)
        };
        let (resign, elected) = tokio::join!(resign, elected);
        let trips = elected.as_secs_f64() / (2 * LATENCY).as_secs_f64();
        eprintln!("handed over in {elected:?}, {trips:.2} round trips; resigned in {resign:?}");
        least = least.min(trips);
        proxy.heal();
        leader.keeper.close().await;
        leader = next;
        if process >= 2 && least < 3.0 {
            return;
        }
    }
    panic!("{least:.2} round trips at least");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_nobody_answers_stops_by_itself_before_the_next_one_begins() {
    let server = Server::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let a = Candidate::start(proxy.connect_string(), "a");
    for (way, round) in [(Direction::Both, 0), (Direction::ToServer, 1), (Direction::Both, 2)] {
        let first = a.leads().await;
        let b = Candidate::start(server.connect_string(), "b");
        b.waits().await;
        let sampler = Sampler::start([&a, &b]);
        sleep(T / 10 + T / 30 * round).await;

        let stalled = now();
        proxy.stall(way);
        ends_in_time(&first, stalled);
        assert_eq!(soon("its end", first.lost()).await, Lost::LeaseEnded);
        let stopped = now().since(stalled);
        let second = b.leads().await;
        eprintln!(
            "{way:?}: a leader stopped {stopped:?} after its link went silent; the next one began {:?} after it went silent",
            now().since(stalled)
        );
        assert!(second.term() > first.term());
        proxy.flow();
        assert_eq!(a.waits().await, second.path());
        one_node_each(server.connect_string(), &["a", "b"]).await;
        let report = sampler.stop();
        assert!(report.reigns[0].until.expect("it ended") < report.reigns[1].from);
        b.keeper.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_heard_and_hears_nothing_stops_by_itself_and_after_a_while_another_one_leads() {
    let server = Server::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let a = Candidate::start(proxy.connect_string(), "a");
    let mut leadership = a.leads().await;
    let b = Candidate::start(server.connect_string(), "b");
    b.waits().await;
    let sampler = Sampler::start([&a, &b]);
    for round in 0..4u32 {
        sleep(T / 10 + T / 30 * round).await;
        let stalled = now();
        proxy.stall(Direction::ToClient);
        ends_in_time(&leadership, stalled);
        assert_eq!(soon("its end", leadership.lost()).await, Lost::LeaseEnded);
        let stopped = now().since(stalled);
        eprintln!("a leader stopped {stopped:?} after it heard nothing any more");
        if round < 3 {
            proxy.flow();
            let next = a.leads().await;
            assert_eq!(next.term(), leadership.term());
            leadership = next;
        } else {
            // What it asks keeps its session alive, so it must not ask for ever.
            assert!(b.leads().await.term() > leadership.term());
            eprintln!("another one leads {:?} after nothing was heard any more", now().since(stalled));
        }
    }
    proxy.flow();
    a.waits().await;
    sampler.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_that_is_mended_in_time_costs_no_leadership() {
    let server = Server::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let keeper = Keeper::start(zookeeper(proxy.connect_string(), CALM));
    let candidacy = stand(&keeper, "one");
    let leadership = soon("it leads", candidacy.elected()).await.unwrap();
    let until = || now() + leadership.left();
    for _ in 0..3 {
        proxy.refuse(true);
        proxy.cut();
        sleep(CALM / 5).await;
        proxy.refuse(false);
        let (healed, before) = (now(), until());
        let renewed = async {
            // More than what passes between two questions.
            while leadership.holds() && until() < before + CALM / 100 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        soon("the lease is renewed", renewed).await;
        let left = before.since(now());
        eprintln!(
            "after a cut of {:?} the lease was renewed within {:?}, with {left:?} left",
            CALM / 5,
            now().since(healed)
        );
        assert!(leadership.holds());
    }
    assert!(matches!(&*candidacy.status().borrow(), Status::Leading(now) if now.term() == leadership.term()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_takes_three_requests_of_a_real_server() {
    const TIMES: usize = 10;
    let server = Server::builder().tick(TICK).max_session(ENDLESS).start().await.unwrap();
    let received = async || -> u64 { server.mntr().await.unwrap()["zk_packets_received"].parse().unwrap() };
    // What goes on beside it, pings and proofs of life, is a request in half a minute.
    let join = async |number: usize| {
        let candidate =
            Candidate::start_on(zookeeper(server.connect_string(), ENDLESS), &format!("c{number}"));
        let mut status = candidate.candidacy.status();
        let stands = |status: &Status| matches!(status, Status::Waiting { .. } | Status::Leading(_));
        soon("it stands in line", status.wait_for(stands)).await.unwrap();
        candidate
    };
    let mut line = std::collections::VecDeque::from([join(0).await, join(1).await, join(2).await]);
    // What it costs to ask: the least, since others may ask something meanwhile.
    let mut asking = u64::MAX;
    for _ in 0..5 {
        let before = received().await;
        asking = asking.min(received().await - before);
    }
    let mut requests = 0;
    for number in 0..TIMES {
        let Candidate { keeper, candidacy } = line.pop_front().unwrap();
        soon("the first one leads", candidacy.elected()).await.unwrap();
        let before = received().await;
        candidacy.resign().await;
        line[0].leads().await;
        requests += received().await - before - asking;
        keeper.close().await;
        line.push_back(join(3 + number).await);
    }
    assert!((3 * TIMES as u64..=3 * TIMES as u64 + 5).contains(&requests), "{requests} requests for {TIMES}");
}
