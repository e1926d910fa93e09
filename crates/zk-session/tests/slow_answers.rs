//! What a follower knows after a server was slow to answer it, on the fake with paused time.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::following::{DIR, Views, follow, follow_at, shows};
use common::{Process, eventually, until};
use tokio::time::{Instant, sleep};
use zk_session::fake::FakeZk;
use zk_session::{Error, Options};

fn name(number: usize) -> String {
    format!("n{number:05}")
}

fn path(number: usize) -> String {
    format!("{DIR}/{}", name(number))
}

/// Who is there, as the server and as a test knows it.
struct Crowd {
    zk: FakeZk,
    there: BTreeSet<String>,
}

impl Crowd {
    fn new(zk: &FakeZk) -> Self {
        Self { zk: zk.clone(), there: BTreeSet::new() }
    }

    fn comes(&mut self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            self.zk.put(&path(number), "1");
            self.there.insert(name(number));
        }
    }

    fn goes(&mut self, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            assert!(self.zk.remove(&path(number)));
            self.there.remove(&name(number));
        }
    }

    async fn is_listed(&self, views: &mut Views) {
        let there: Vec<_> = self.there.iter().map(String::as_str).collect();
        shows(views, true, &there).await;
    }
}

#[tokio::test(start_paused = true)]
async fn notifications_are_taken_in_while_an_answer_is_waited_for_and_each_node_is_read_once() {
    const NODES: usize = 10;
    const CHANGES: usize = 1_000;
    let zk = FakeZk::default();
    let put = |number: usize, round: u32| zk.put(&format!("{DIR}/n{}", number % NODES), round.to_string());
    (0..NODES).for_each(|number| put(number, 0));
    let read = format!("{DIR}/n0");
    zk.hold_reads(&read, true);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut lists = directory.entries();

    // While the first list is read, and then while a change is.
    for round in [1, 2] {
        if round == 2 {
            zk.hold_reads(&read, true);
            put(0, round);
        }
        eventually("a read waits for its answer", || zk.requests().gets + zk.requests().batches > 0).await;
        // It is one after the other that happens, so that none of them is told together with another. No task runs meanwhile.
        for number in 0..CHANGES {
            put(number, round);
            assert_eq!(zk.events_waiting(), 0, "each is taken in at once");
        }
        zk.reset_requests();
        zk.hold_reads(&read, false);
        let all_say = |list: &Option<zk_session::Entries<String>>| {
            let says = |entry: &String| entry.ends_with(&format!("={round}"));
            list.as_ref().is_some_and(|list| list.iter().all(|entry| says(entry)))
        };
        let list = until(&mut lists, "all say the same", all_say).await;
        assert_eq!(list.map(|list| list.len()), Some(NODES));
        assert!(zk.requests().total() <= 3, "{:?}", zk.requests());
        zk.reset_requests();
    }
}

#[tokio::test(start_paused = true)]
async fn of_thousands_who_come_and_go_while_all_is_read_those_are_listed_who_are_there() {
    // While the names are waited for, and while what the last one says is.
    for read in [DIR.to_owned(), path(2_999)] {
        let zk = FakeZk::default();
        let mut crowd = Crowd::new(&zk);
        crowd.comes(0..3_000);
        zk.hold_reads(&read, true);
        let process = Process::start(&zk);
        let directory = follow(&process, Options::default());
        let asked = if read == DIR { (1, 0) } else { (1, 30) };
        eventually("all are read", || (zk.requests().lists, zk.requests().batches) == asked).await;

        // Names that are used once, then those that were read, and some of these again.
        crowd.comes(3_000..5_000);
        crowd.goes(3_500..5_000);
        crowd.goes(0..2_000);
        crowd.comes(100..200);
        assert_eq!(zk.events_waiting(), 0);
        zk.hold_reads(&read, false);
        crowd.is_listed(&mut directory.view()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_came_before_the_names_were_told_and_went_once_it_was_read_is_not_listed() {
    let zk = FakeZk::default();
    let mut crowd = Crowd::new(&zk);
    crowd.comes(1..3_000);
    zk.hold_reads("/", true);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    eventually("it watches, and waits", || zk.requests().watches == 1 && zk.requests().syncs == 1).await;

    crowd.comes([0]);
    zk.hold_reads(&path(2_999), true);
    zk.hold_reads("/", false);
    eventually("all are read", || zk.requests().batches == 30).await;
    crowd.goes([0]);
    zk.hold_reads(&path(2_999), false);
    crowd.is_listed(&mut directory.view()).await;
}

#[tokio::test(start_paused = true)]
async fn of_thousands_who_come_and_go_while_some_are_read_again_those_are_listed_who_are_there() {
    let zk = FakeZk::default();
    let mut crowd = Crowd::new(&zk);
    crowd.comes(0..1_500);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    crowd.is_listed(&mut views).await;

    zk.hold_reads(&path(3_000), true);
    zk.reset_requests();
    zk.hold_watches(true);
    crowd.comes(2_000..3_200);
    zk.hold_watches(false);
    eventually("those who came are read", || zk.requests().batches == 12).await;
    // Names that are used once, some who were listed before, and some of those who are read: and a few of all again.
    crowd.comes(4_000..5_000);
    crowd.goes(4_000..5_000);
    crowd.goes(0..800);
    crowd.goes(2_000..2_800);
    crowd.comes([1, 400, 2_001, 2_400, 4_001]);
    assert_eq!(zk.events_waiting(), 0);
    zk.hold_reads(&path(3_000), false);
    crowd.is_listed(&mut views).await;
}

#[tokio::test(start_paused = true)]
async fn thousands_who_go_while_deletions_are_held_are_taken_in_and_gone() {
    let zk = FakeZk::default();
    let mut crowd = Crowd::new(&zk);
    crowd.comes(0..3_000);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    crowd.is_listed(&mut views).await;

    let begun = Instant::now();
    for goes in [0..1_500, 1_500..2_500] {
        crowd.goes(goes);
        // Everybody runs until there is nothing left to do; only the time stands still.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!((zk.events_waiting(), begun.elapsed()), (0, Duration::ZERO));
    }
    crowd.is_listed(&mut views).await;
}

#[tokio::test(start_paused = true)]
async fn thousands_who_come_and_go_while_a_directory_is_too_large_are_read_once_when_it_fits() {
    let zk = FakeZk::default();
    let mut crowd = Crowd::new(&zk);
    crowd.comes(0..3_000);
    let process = Process::start(&zk);
    let directory = follow(&process, Options { max_entries: 3_000, ..Options::default() });
    let (mut views, mut problem) = (directory.view(), directory.problem());
    crowd.is_listed(&mut views).await;

    crowd.comes(3_000..3_500);
    until(&mut problem, "it is too large", |now| matches!(now, Some(Error::Oversize { .. }))).await;
    let looked = zk.requests().exists;
    eventually("it is waited for", || zk.requests().exists > looked).await;
    crowd.goes(0..2_500);
    crowd.comes(3_500..3_600);
    zk.reset_requests();
    crowd.is_listed(&mut views).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!((zk.requests().batches, zk.requests().gets), (11, 0), "{:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn nothing_piles_up_while_a_server_catches_up() {
    let zk = FakeZk::default();
    let mut crowd = Crowd::new(&zk);
    crowd.comes(0..10);
    zk.hold_reads("/", true);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    eventually("it watches, and waits", || zk.requests().watches == 1 && zk.requests().syncs == 1).await;
    crowd.comes(10..1_000);
    crowd.goes(500..1_000);
    assert_eq!(zk.events_waiting(), 0);
    zk.hold_reads("/", false);
    crowd.is_listed(&mut directory.view()).await;
}

/// Whoever follows much would have all of it in memory twice when all is read again.
#[tokio::test(start_paused = true)]
async fn of_many_directories_so_much_is_read_at_the_same_time_and_no_more() {
    const NODES: usize = 4_096;
    let zk = FakeZk::default();
    let directories: Vec<_> = (0..5).map(|number| format!("/services/large{number}")).collect();
    for directory in &directories {
        (0..NODES).for_each(|number| zk.put(&format!("{directory}/{}", name(number)), "1"));
        zk.hold_reads(&format!("{directory}/{}", name(NODES - 1)), true);
    }
    let mut crowd = Crowd::new(&zk);
    crowd.comes(0..3);
    let process = Process::start(&zk);
    let followed: Vec<_> =
        directories.iter().map(|path| follow_at(&process, path, Options::default())).collect();
    let two = 2 * NODES.div_ceil(100) as u64;
    eventually("two of them are read", || zk.requests().batches >= two).await;
    // A small one does not wait for them.
    let small = follow(&process, Options::default());
    crowd.is_listed(&mut small.view()).await;
    crowd.comes(3..6);
    crowd.is_listed(&mut small.view()).await;
    eventually("all names are known", || zk.requests().lists == 6).await;
    sleep(Duration::from_secs(1)).await;
    let small = zk.requests().batches - two;
    assert!(small <= 2, "{:?}", zk.requests());

    for directory in &directories {
        zk.hold_reads(&format!("{directory}/{}", name(NODES - 1)), false);
    }
    for directory in &followed {
        let all = until(&mut directory.entries(), "all are listed", Option::is_some).await;
        assert_eq!(all.map(|list| list.len()), Some(NODES));
    }
}
