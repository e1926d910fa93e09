//! `demo bench watch` and `demo bench coldwatch` as a driver of comparisons uses them; on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::timeout;
use zk_session::Kind;

use self::common::{PATIENCE, Running, Truth, Zk, demo, nowhere, run, stderr, stdout};

const SERVICE: &str = "/bench/17/svc";

/// The driver's side.
struct Driver {
    zk: Zk,
    truth: Truth,
}

impl Driver {
    async fn start(instances: u32) -> Self {
        let zk = Zk::start().await;
        let truth = zk.truth().await;
        for directory in ["/bench", "/bench/17", SERVICE] {
            truth.session.create(directory, b"", Kind::Persistent).await.unwrap();
        }
        let driver = Self { zk, truth };
        for number in 0..instances {
            driver.put(&id(number), 1000).await;
        }
        driver
    }

    async fn put(&self, id: &str, port: u16) {
        let value = format!(
            r#"{{"name":"svc","id":"{id}","address":"127.0.0.1","port":{port},"sslPort":null,"payload":null,"registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC","uriSpec":null,"enabled":true}}"#
        );
        self.put_raw(id, value.as_bytes()).await;
    }

    async fn put_raw(&self, id: &str, value: &[u8]) {
        self.truth.session.create(&format!("{SERVICE}/{id}"), value, Kind::Ephemeral).await.unwrap();
    }

    async fn delete(&self, id: &str) {
        self.truth.session.delete(&format!("{SERVICE}/{id}"), None).await.unwrap();
    }

    fn command(&self, which: &str, instances: &str, last: &str) -> tokio::process::Command {
        let hosts = self.zk.server.connect_string();
        demo(["bench", which, &hosts, "/bench/17", "svc", instances, last])
    }
}

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

fn xor<'a>(ids: impl IntoIterator<Item = &'a str>) -> u64 {
    let fnv_1a = |id: &str| {
        id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    };
    ids.into_iter().fold(0, |xor, id| xor ^ fnv_1a(id))
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Waits until each watcher said this size, and gives the latest time of them.
async fn all_say(watch: &mut Running, watchers: usize, size: &str) -> u64 {
    let (mut said, mut last) = (vec![false; watchers], 0);
    while said.contains(&false) {
        let line = watch.line(|line| line.starts_with("SIZE ")).await;
        let ["SIZE", watcher, now, at] = words(&line)[..] else { panic!("{line}") };
        if now == size {
            said[watcher.parse::<usize>().unwrap()] = true;
            last = last.max(at.parse().unwrap());
        }
    }
    last
}

/// The size, the XOR of the ids and the time of the last change.
async fn stat(watch: &mut Running) -> (usize, u64, u64) {
    watch.tell(b"STAT\n").await;
    let line = watch.line(|line| line.starts_with("STAT ")).await;
    let ["STAT", size, xor, last] = words(&line)[..] else { panic!("{line}") };
    (size.parse().unwrap(), u64::from_str_radix(xor, 16).unwrap(), last.parse().unwrap())
}

/// Asks until the last list was published after `than`; the driver asks until it does not change any more.
async fn stat_after(watch: &mut Running, than: u64) -> (usize, u64, u64) {
    let found = async {
        loop {
            let stat = stat(watch).await;
            if stat.2 > than {
                return stat;
            }
        }
    };
    timeout(PATIENCE, found).await.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "what the program says is compared with it")]
fn unix_nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().try_into().unwrap()
}

#[tokio::test]
async fn each_watcher_tells_of_every_size_until_stdin_ends() {
    const WATCHERS: usize = 3;
    let driver = Driver::start(5).await;
    let ids: Vec<_> = (0..6).map(id).collect();
    let begin = unix_nanos();
    let (mut watch, mut errors) = Running::start_heard(driver.command("watch", "5", "3"));
    for _ in 0..WATCHERS {
        let line = watch.line(|_| true).await;
        let ["READY", "5", millis] = words(&line)[..] else { panic!("{line}") };
        assert!(millis.parse::<f64>().unwrap() > 0.0, "{line}");
    }
    let (size, found, first) = stat(&mut watch).await;
    assert_eq!((size, found), (5, xor(ids[..5].iter().map(String::as_str))));
    assert!((begin..unix_nanos()).contains(&first), "{first}");

    let before = unix_nanos();
    driver.put(&ids[5], 1000).await;
    let added = all_say(&mut watch, WATCHERS, "6").await;
    assert!((before..unix_nanos()).contains(&added), "{added}");
    let (size, found, last) = stat(&mut watch).await;
    assert_eq!((size, found), (6, xor(ids.iter().map(String::as_str))));
    assert!((before..=added).contains(&last), "{last}");

    driver.delete(&ids[0]).await;
    let deleted = all_say(&mut watch, WATCHERS, "5").await;
    assert!(deleted > added);
    assert_eq!(stat(&mut watch).await.1, xor(ids[1..].iter().map(String::as_str)));

    // One is replaced under its id: a change, of the same size.
    watch.tell(b"GC\n").await;
    let last = stat(&mut watch).await.2;
    let value = r#"{"id":"ID","address":"127.0.0.1","port":1001}"#.replace("ID", &ids[3]);
    driver.truth.session.set(&format!("{SERVICE}/{}", ids[3]), value.as_bytes(), None).await.unwrap();
    let (size, found, _) = stat_after(&mut watch, last).await;
    assert_eq!((size, found), (5, xor(ids[1..].iter().map(String::as_str))));

    // What cannot be used is told once by each watcher, and is no instance.
    driver.put_raw("bad", b"{\"id\":\"bad\",\"address\":\"127.0.0.1\"}").await;
    for _ in 0..WATCHERS {
        let told = timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap().unwrap();
        assert!(told.contains("/bench/17/svc/bad") && told.contains("port: it is missing"), "{told}");
    }
    assert_eq!(stat(&mut watch).await.0, 5);

    watch.close_stdin();
    let ended = watch.end().await;
    assert!(ended.status.success());
    assert_eq!(ended.lines, Vec::<String>::new());
    assert_eq!(errors.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn a_watcher_waits_for_all_and_for_zookeeper_and_ends_all_the_same() {
    let driver = Driver::start(1).await;
    let mut watch = Running::start(driver.command("watch", "2", "1"));
    let of_one = async { while stat(&mut watch).await.0 != 1 {} };
    timeout(PATIENCE, of_one).await.unwrap();
    assert!(watch.said.iter().all(|line| line.starts_with("STAT ")), "{:?}", watch.said);
    driver.put(&id(1), 1000).await;
    watch.line(|line| line.starts_with("READY 2 ")).await;
    watch.close_stdin();
    assert!(watch.end().await.status.success());

    let mut watch = Running::start(demo(["bench", "watch", &nowhere(), "/bench/17", "svc", "2", "1"]));
    assert_eq!(stat(&mut watch).await, (0, 0, 0));
    watch.close_stdin();
    assert!(watch.end().await.status.success());
}

#[tokio::test]
async fn a_cold_watch_tells_a_time_for_each_run_and_ends() {
    let driver = Driver::start(5).await;
    let output = run(driver.command("coldwatch", "5", "3")).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let times: Vec<f64> = stdout(&output).lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(times.len(), 3);
    assert!(times.iter().all(|millis| (0.0..60_000.0).contains(millis)), "{times:?}");
    assert_eq!(stderr(&output), "");
}
