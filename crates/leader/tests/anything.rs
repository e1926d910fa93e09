//! Whatever breaks, in whatever order: at most one acts. On the fake with paused time.

mod common;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::{Process, T, line};
use leader::{Candidacy, Leadership, Status};
use tokio::time::{sleep, timeout};
use zk_session::fake::FakeZk;

/// Reproducible draws.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn millis(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}

/// All leaderships that ever began, the guards of which are asked at every change of the server.
#[derive(Clone, Default)]
struct Began(Arc<Mutex<Vec<Leadership>>>);

impl Began {
    fn follow(&self, candidacy: &Candidacy) {
        let (mut status, began) = (candidacy.status(), self.clone());
        tokio::spawn(async move {
            while status.changed().await.is_ok() {
                if let Status::Leading(leadership) = &*status.borrow_and_update() {
                    began.0.lock().unwrap_or_else(PoisonError::into_inner).push(leadership.clone());
                }
            }
        });
    }

    fn holding(&self) -> Vec<Leadership> {
        let began = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        began.iter().filter(|leadership| leadership.holds()).cloned().collect()
    }
}

fn break_something(zk: &FakeZk, process: &Process, draws: &mut Draws) {
    let session = || process.client.session();
    match draws.below(16) {
        0 => process.client.set_reachable(false),
        1 | 2 => process.client.set_reachable(true),
        3 => session().into_iter().for_each(|session| zk.disconnect(session)),
        4 => session().into_iter().for_each(|session| zk.mute(session)),
        5 => session().into_iter().for_each(|session| zk.unmute(session)),
        6 => zk.lose_next_reply(),
        7 => zk.drop_next_request(),
        8 => process.client.sleep(draws.millis(3000)),
        9 => zk.stop(),
        10 => zk.set_mute(true),
        11 => zk.disconnect_all(),
        12 => zk.set_timeout([T, T / 2, T / 4][usize::try_from(draws.below(3)).expect("small")]),
        _ => {
            zk.start();
            zk.set_mute(false);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_one_holds_at_any_moment_and_one_leads_when_all_is_well_again() {
    for seed in 0..20u64 {
        let zk = FakeZk::default().with_seed(seed);
        let mut draws = Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let began = Began::default();
        let all: Vec<_> = (0..4)
            .map(|index| {
                let process = Process::start(&zk);
                let candidacy = process.campaign(&format!("c{index}"));
                began.follow(&candidacy);
                (process, candidacy)
            })
            .collect();
        let greatest = Mutex::new(0);
        let check = |when: &str| {
            let holding = began.holding();
            assert!(holding.len() <= 1, "seed {seed}, {when}: {holding:?}");
            for leadership in holding {
                let mut greatest = greatest.lock().unwrap_or_else(PoisonError::into_inner);
                assert!(leadership.term().0 >= *greatest, "seed {seed}, {when}: terms go back");
                *greatest = leadership.term().0;
                assert!(zk.sessions().contains(&leadership.session()), "seed {seed}, {when}");
            }
        };
        let watching = zk.until(|_| {
            check("at a change");
            false
        });
        let breaking = async {
            for step in 0..300 {
                let (process, _) = &all[usize::try_from(draws.below(4)).expect("small")];
                break_something(&zk, process, &mut draws);
                sleep(draws.millis(700)).await;
                check(&format!("step {step}"));
            }
        };
        tokio::select! {
            () = watching => {}
            () = breaking => {}
        }
        for (process, _) in &all {
            process.client.set_reachable(true);
            process.client.session().into_iter().for_each(|session| zk.unmute(session));
        }
        zk.start();
        zk.set_mute(false);
        zk.set_timeout(T);
        zk.disconnect_all();
        let healed = async {
            while began.holding().len() != 1 || line(&zk).len() != 4 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(3 * T, healed).await.unwrap_or_else(|_| panic!("seed {seed}: {:?}", line(&zk)));
    }
}
