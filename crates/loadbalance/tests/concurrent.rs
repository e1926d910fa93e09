//! Picks of many threads at once, against a truth that is counted beside them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};
use std::thread;

use common::{listed, number, number_of, request};
use loadbalance::{
    Balancer, Instance, LeastConnections, Name, Picked, Request, RoundRobin, WeightedRoundRobin,
};

const THREADS: usize = 8;

/// Numbers for a thread, always the same.
fn numbers(thread: usize) -> impl FnMut() -> usize {
    let mut state = thread as u64 + 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    }
}

/// Threads pick and hold at random; when all of them rest, what is counted is compared with what they hold.
fn counts_are_the_truth(name: Name, many: usize) {
    let weights: Vec<u32> = (0..many as u32).map(|index| 1 + index % 4).collect();
    let balancer = Balancer::fixed(listed(&weights), name.algorithm());
    let truth: Vec<AtomicU32> = (0..many).map(|_| AtomicU32::new(0)).collect();
    let rest = Barrier::new(THREADS + 1);
    // Said once all threads are done: they would wait for one that panicked.
    let mut wrong = Vec::new();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (balancer, truth, rest) = (&balancer, &truth, &rest);
            scope.spawn(move || {
                let mut number = numbers(thread);
                let mut handle = balancer.handle();
                let mut held: Vec<Picked> = Vec::new();
                for _ in 0..ROUNDS {
                    for _ in 0..500 {
                        let request = request(name, number());
                        match number() % 8 {
                            0..3 => held.push(balancer.pick(&request).unwrap()),
                            3 => held.push(handle.pick(&request).unwrap().into_owned()),
                            4 => drop(handle.pick(&request).unwrap()),
                            5 => handle.pick(&request).unwrap().failed(),
                            6 => drop(held.pop()),
                            _ if held.is_empty() => {}
                            _ => held.swap_remove(number() % held.len()).failed(),
                        }
                    }
                    held.iter().for_each(|it| {
                        truth[number_of(&it.id)].fetch_add(1, SeqCst);
                    });
                    rest.wait(); // what is held is told
                    rest.wait(); // and was compared
                }
            });
        }
        for _ in 0..ROUNDS {
            rest.wait();
            for (candidate, truth) in balancer.candidates().iter().zip(&truth) {
                let (counted, truth) = (candidate.in_flight(), truth.swap(0, SeqCst));
                if counted != truth {
                    wrong.push((candidate.id().clone(), counted, truth));
                }
            }
            rest.wait();
        }
    });
    assert_eq!(wrong, [], "{name}");
    assert!(balancer.candidates().iter().all(|it| it.in_flight() == 0), "{name}");
}

const ROUNDS: usize = 10;

#[test]
fn what_is_in_flight_is_what_threads_hold() {
    for name in Name::ALL {
        for many in [1, 3, 32, 33, 200] {
            counts_are_the_truth(name, many);
        }
    }
}

/// Lists of all kinds of the same instances: without some, in another order, with other data and weights.
fn another_list(number: &mut impl FnMut() -> usize, many: usize) -> Vec<Instance> {
    let mut list = Vec::new();
    for index in 0..many {
        if !number().is_multiple_of(4) {
            let mut instance = common::number(index, (number() % 4) as u32);
            instance.data = instance.data.with_metadata("round", number().to_string());
            list.push(instance);
        }
    }
    let at = number() % (list.len() + 1);
    list.rotate_left(at);
    list
}

/// A list that keeps everybody who is there, so that nobody's count depends on who was faster.
#[test]
fn counts_stay_exact_while_lists_change_all_the_time() {
    for name in Name::ALL {
        let many = 40;
        let balancer = Balancer::fixed(listed(&vec![1; many]), name.algorithm());
        let truth: Vec<AtomicU32> = (0..many).map(|_| AtomicU32::new(0)).collect();
        let (done, kept) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            let pickers: Vec<_> = (0..4)
                .map(|thread| {
                    let (balancer, truth, kept) = (&balancer, &truth, &kept);
                    scope.spawn(move || {
                        let mut number = numbers(thread);
                        let mut handle = balancer.handle();
                        let mut held: Vec<Picked> = Vec::new();
                        for _ in 0..4_000 {
                            let request = request(name, number());
                            match number() % 4 {
                                0 => held.extend(balancer.pick(&request).ok()),
                                1 => held.extend(handle.pick(&request).ok().map(Picked::into_owned)),
                                2 => drop(held.pop()),
                                _ => drop(handle.pick(&request)),
                            }
                        }
                        held.iter().for_each(|it| {
                            truth[number_of(&it.id)].fetch_add(1, SeqCst);
                        });
                        kept.lock().unwrap().extend(held);
                    })
                })
                .collect();
            let (balancer, done) = (&balancer, &done);
            scope.spawn(move || {
                let mut number = numbers(99);
                let mut lists = 0;
                while !done.load(SeqCst) || lists < 50 {
                    // All stay in the list; some are drained for a while.
                    let drained = number() % many;
                    let list = (0..many).map(|index| {
                        common::number(index, if index == drained { 0 } else { 1 + (number() % 3) as u32 })
                    });
                    balancer.replace(list);
                    lists += 1;
                }
            });
            pickers.into_iter().for_each(|it| it.join().unwrap());
            done.store(true, SeqCst);
        });
        let counted = || {
            balancer.replace(listed(&vec![1; many]));
            balancer.candidates().iter().map(|it| it.in_flight()).collect::<Vec<_>>()
        };
        assert_eq!(counted(), truth.iter().map(|it| it.load(SeqCst)).collect::<Vec<_>>(), "{name}");
        kept.lock().unwrap().clear();
        assert_eq!(counted(), vec![0; many], "{name}");
    }
}

/// Instances leave and come back while they are picked; whoever is picked was in a list, and in the end nothing is in flight.
#[test]
fn nothing_is_in_flight_in_the_end_whoever_came_and_went() {
    for name in Name::ALL {
        let many = 12;
        let balancer = Balancer::fixed(listed(&vec![1; many]), name.algorithm());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let pickers: Vec<_> = (0..4)
                .map(|thread| {
                    let balancer = &balancer;
                    scope.spawn(move || {
                        let mut number = numbers(thread);
                        let mut handle = balancer.handle();
                        let mut held = Vec::new();
                        for _ in 0..4_000 {
                            let request = request(name, number());
                            if let Ok(picked) = handle.pick(&request) {
                                assert!(picked.data.weight > 0 && number_of(&picked.id) < many);
                                held.push(picked.into_owned());
                            }
                            if held.len() > 20 {
                                held.swap_remove(number() % 20).failed();
                            }
                        }
                    })
                })
                .collect();
            let (balancer, done) = (&balancer, &done);
            scope.spawn(move || {
                let mut number = numbers(77);
                let mut lists = 0;
                while !done.load(SeqCst) || lists < 50 {
                    balancer.replace(another_list(&mut number, many));
                    lists += 1;
                }
            });
            pickers.into_iter().for_each(|it| it.join().unwrap());
            done.store(true, SeqCst);
        });
        balancer.replace(listed(&vec![1; many]));
        assert!(
            balancer.candidates().iter().all(|it| it.in_flight() == 0),
            "{name}: {:?}",
            balancer.candidates()
        );
    }
}

#[test]
fn round_robin_is_exact_over_threads() {
    for (many, picks) in [(1, 1_000), (3, 1_000), (7, 800), (100, 160), (1_000, 16)] {
        let balancer = Balancer::fixed(listed(&vec![1; many]), RoundRobin::default());
        let had: Vec<AtomicUsize> = (0..many).map(|_| AtomicUsize::new(0)).collect();
        let each = many * picks / THREADS;
        assert_eq!(each * THREADS, many * picks);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (balancer, had) = (&balancer, &had);
                scope.spawn(move || {
                    let mut handle = balancer.handle();
                    for pick in 0..each {
                        let index = if (pick + thread) % 2 == 0 {
                            number_of(&balancer.pick(&Request::default()).unwrap().id)
                        } else {
                            number_of(handle.choose(&Request::default()).unwrap().id())
                        };
                        had[index].fetch_add(1, SeqCst);
                    }
                });
            }
        });
        assert!(had.iter().all(|had| had.load(SeqCst) == picks), "{had:?}");
    }
}

#[test]
fn weighted_round_robin_is_exact_over_threads() {
    // The last one has a cycle that is not written out: 80,000 picks.
    for (weights, cycles) in
        [(vec![5, 1, 1, 1], 1_000), (vec![1, 2, 3, 2], 900), (vec![40_000, 30_000, 9_999, 1], 2)]
    {
        let balancer = Balancer::fixed(listed(&weights), WeightedRoundRobin::default());
        let had: Vec<AtomicUsize> = weights.iter().map(|_| AtomicUsize::new(0)).collect();
        let each = weights.iter().sum::<u32>() as usize * cycles / THREADS;
        thread::scope(|scope| {
            for _ in 0..THREADS {
                let (mut handle, had) = (balancer.handle(), &had);
                scope.spawn(move || {
                    for _ in 0..each {
                        had[number_of(handle.choose(&Request::default()).unwrap().id())].fetch_add(1, SeqCst);
                    }
                });
            }
        });
        for (had, weight) in had.iter().zip(&weights) {
            assert_eq!(had.load(SeqCst), *weight as usize * cycles, "{weights:?}");
        }
    }
}

/// When somebody last looked at one and then picked it, that one had no more than anybody has now. Since then each thread has picked
/// it once at most, as it has to look before it picks again.
#[test]
fn the_least_connected_stay_even_over_threads() {
    let many = 10;
    let balancer = Balancer::fixed(listed(&vec![1; many]), LeastConnections);
    let held = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (balancer, held) = (&balancer, &held);
            scope.spawn(move || {
                let picked: Vec<_> = (0..500).map(|_| balancer.pick(&Request::default()).unwrap()).collect();
                held.lock().unwrap().extend(picked);
            });
        }
    });
    let now: Vec<_> = balancer.candidates().iter().map(|it| it.in_flight()).collect();
    assert_eq!(now.iter().sum::<u32>() as usize, THREADS * 500);
    assert!(now.iter().max().unwrap() - now.iter().min().unwrap() <= THREADS as u32, "{now:?}");
}

/// A list is prepared for beside the picks: of many lists in a row the last one counts, in whatever order threads brought them.
#[test]
fn lists_of_many_threads_are_taken_one_after_the_other() {
    let balancer = Balancer::fixed(listed(&[1]), RoundRobin::default());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let balancer = &balancer;
            scope.spawn(move || {
                for _ in 0..100 {
                    balancer.replace((0..=thread).map(|index| number(index + 10 * thread, 1)));
                    let candidates = balancer.candidates();
                    let first = number_of(candidates[0].id()) / 10;
                    assert_eq!(candidates.len(), first + 1, "a whole list of one thread");
                }
            });
        }
    });
}
