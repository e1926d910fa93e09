//! What an agent says: one JSON object per line on stdout.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proto::{Instance, InstanceId, ServiceName};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::limiter::Limiter;
use crate::output::one_line;

/// How many lines may wait for a reader. One who stalls for longer misses some, and is told how many: a process must
/// not stop its work, nor grow without bound, because nobody reads what it says.
const WAITING: usize = 4096;

/// No line is added to so many bytes that wait already: the view of a large service is long.
const MOST_BYTES: usize = 16 << 20;

/// How long a stalled reader may hold up the end.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Something that happened, as scripts know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "ev", rename_all = "kebab-case")]
pub(crate) enum Event {
    Ready { pid: u32 },
    Session { state: SessionState, session_id: String, timeout_ms: u64 },
    Registered { service: ServiceName, id: InstanceId, path: String, session_id: String },
    Deregistered { service: ServiceName, id: InstanceId },
    LeaderAcquired { token: i64, path: String, session_id: String },
    LeaderLost { token: i64, reason: String },
    Fenced { token: i64, max: Option<i64> },
    View { service: ServiceName, instances: Vec<Seen>, source: Trust },
    BadNode { path: String, reason: String },
    Error { what: String },
    Tasks { alive: usize },
    Bye { clean: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionState {
    Connected,
    Suspended,
    Expired,
    Closed,
}

/// Whether a view is known to be the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Trust {
    Live,
    Stale,
}

/// An instance in a view; without an address it is reached through a broker only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    id: InstanceId,
    addr: Option<String>,
    port: Option<u16>,
}

impl From<&Instance> for Seen {
    fn from(Instance { id, data }: &Instance) -> Self {
        let address = data.address.as_ref();
        Self {
            id: id.clone(),
            addr: address.map(|at| at.host().to_owned()),
            port: address.map(proto::Address::port),
        }
    }
}

/// An event with its time.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    t: u64,
}

/// Nanoseconds of the clock that all processes of this machine share and nobody can set.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    // Neither is ever negative: the clock starts with the machine.
    seconds.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
}

/// Where events are said. A thread of its own writes them, so that a slow reader does not slow down what is observed.
#[derive(Debug)]
pub(crate) struct Events {
    lines: mpsc::Sender<String>,
    /// How many bytes wait to be written.
    waiting: Arc<AtomicUsize>,
    written: oneshot::Receiver<()>,
    missed: u64,
    errors: Limiter,
}

impl Events {
    /// Events that are written to `out`, each flushed at once.
    pub(crate) fn to(mut out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (lines, mut next) = mpsc::channel::<String>(WAITING);
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let (done, written) = oneshot::channel();
        std::thread::Builder::new().name("events".into()).spawn(move || {
            while let Some(line) = next.blocking_recv() {
                if let Err(error) = out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
                    // The work goes on: a service is not taken away because its supervisor died.
                    warn!(error = &error as &dyn std::error::Error, "nobody reads the events any more");
                    break;
                }
                left.fetch_sub(line.len(), Ordering::Relaxed);
            }
            let _ = done.send(());
        })?;
        Ok(Self { lines, waiting, written, missed: 0, errors: Limiter::default() })
    }

    /// Says that something happened now.
    pub(crate) fn say(&mut self, event: &Event) {
        if self.missed > 0 {
            if !self.send(lost(self.missed)) {
                self.missed += 1;
                return;
            }
            self.missed = 0;
        }
        if !self.send(line(event)) {
            self.missed += 1;
        }
    }

    /// Says an error, unless it was said a moment ago.
    pub(crate) fn error(&mut self, what: impl Into<String>) {
        let what = what.into();
        for what in self.errors.let_through(Instant::now(), what) {
            self.say(&Event::Error { what });
        }
    }

    /// Says the last word and waits until all is written, or the reader is too slow.
    pub(crate) async fn end(mut self, clean: bool) {
        if let Some(what) = self.errors.held_back() {
            self.say(&Event::Error { what });
        }
        let Self { lines, waiting, written, missed, .. } = self;
        let last = async {
            let lost = (missed > 0).then(|| lost(missed));
            for word in lost.into_iter().chain([line(&Event::Bye { clean })]) {
                waiting.fetch_add(word.len(), Ordering::Relaxed);
                // An error means that nobody reads any more.
                if lines.send(word).await.is_err() {
                    return;
                }
            }
            drop(lines);
            let _ = written.await;
        };
        let _ = timeout(LAST_WORDS, last).await;
    }

    /// Whether there was room; a reader that is gone misses nothing.
    fn send(&self, line: String) -> bool {
        let Ok(room) = self.lines.try_reserve() else { return self.lines.is_closed() };
        if self.waiting.load(Ordering::Relaxed) >= MOST_BYTES {
            return false;
        }
        self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        room.send(line);
        true
    }
}

/// The line that tells a reader how many it missed.
fn lost(missed: u64) -> String {
    line(&Event::Error { what: format!("{missed} events were lost: nobody read them in time") })
}

fn line(event: &Event) -> String {
    let json = serde_json::to_string(&Line { event, t: now() })
        .expect("an event is a map of texts, numbers and lists of those");
    let mut line = one_line(json);
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use serde_json::{Value, json};

    use super::*;

    fn service() -> ServiceName {
        ServiceName::parse("time").unwrap()
    }

    fn id() -> InstanceId {
        InstanceId::parse("a").unwrap()
    }

    /// A reader that keeps what it got, and can stop reading.
    #[derive(Clone, Default)]
    struct Reader(Arc<(Mutex<Got>, Condvar)>);

    #[derive(Default)]
    struct Got {
        bytes: Vec<u8>,
        stalled: bool,
    }

    impl Reader {
        fn stall(&self, stalled: bool) {
            self.0.0.lock().unwrap().stalled = stalled;
            self.0.1.notify_all();
        }

        fn lines(&self) -> Vec<Value> {
            let text = String::from_utf8(self.0.0.lock().unwrap().bytes.clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut state = self.0.1.wait_while(self.0.0.lock().unwrap(), |got| got.stalled).unwrap();
            state.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_event_has_the_fields_that_scripts_read() {
        let address = Instance { id: id(), data: proto::NodeData::at("127.0.0.1:80".parse().unwrap()) };
        let broker = Instance { id: id(), data: proto::NodeData::behind_broker("x") };
        for (event, expected) in [
            (Event::Ready { pid: 7 }, json!({"ev": "ready", "pid": 7})),
            (
                Event::Session {
                    state: SessionState::Connected,
                    session_id: "0x1f".into(),
                    timeout_ms: 2000,
                },
                json!({"ev": "session", "state": "connected", "session_id": "0x1f", "timeout_ms": 2000}),
            ),
            (
                Event::Registered {
                    service: service(),
                    id: id(),
                    path: "/p".into(),
                    session_id: "0x1f".into(),
                },
                json!({"ev": "registered", "service": "time", "id": "a", "path": "/p", "session_id": "0x1f"}),
            ),
            (
                Event::Deregistered { service: service(), id: id() },
                json!({"ev": "deregistered", "service": "time", "id": "a"}),
            ),
            (
                Event::LeaderAcquired { token: 1 << 33, path: "/p".into(), session_id: "0x1f".into() },
                json!({"ev": "leader-acquired", "token": 8_589_934_592_u64, "path": "/p", "session_id": "0x1f"}),
            ),
            (
                Event::LeaderLost { token: 7, reason: "lease-ended".into() },
                json!({"ev": "leader-lost", "token": 7, "reason": "lease-ended"}),
            ),
            (Event::Fenced { token: 7, max: Some(8) }, json!({"ev": "fenced", "token": 7, "max": 8})),
            (
                Event::View {
                    service: service(),
                    instances: vec![(&address).into(), (&broker).into()],
                    source: Trust::Stale,
                },
                json!({"ev": "view", "service": "time", "source": "stale", "instances": [
                    {"id": "a", "addr": "127.0.0.1", "port": 80}, {"id": "a", "addr": null, "port": null}]}),
            ),
            (
                Event::BadNode { path: "/p".into(), reason: "r".into() },
                json!({"ev": "bad-node", "path": "/p", "reason": "r"}),
            ),
            (Event::Error { what: "w\u{2028}\n".into() }, json!({"ev": "error", "what": "w\u{2028}\n"})),
            (Event::Bye { clean: true }, json!({"ev": "bye", "clean": true})),
        ] {
            let line = line(&event);
            assert!(line.ends_with('\n') && line.matches(['\n', '\u{2028}']).count() == 1, "{line}");
            let mut said: Value = serde_json::from_str(&line).unwrap();
            let t = said.as_object_mut().unwrap().remove("t").unwrap();
            assert!(t.is_u64(), "{t}");
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn the_clock_is_the_one_that_other_processes_read() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        // They differ by the time that the machine was suspended, if ever.
        let apart = seconds - Duration::from_nanos(now()).as_secs_f64();
        assert!(apart > -1.0, "{apart}");
        assert!(now() <= now());
    }

    #[tokio::test]
    async fn events_arrive_in_order_and_the_last_word_is_last() {
        let reader = Reader::default();
        let mut events = Events::to(reader.clone()).unwrap();
        for pid in 0..100 {
            events.say(&Event::Ready { pid });
        }
        events.end(true).await;
        let lines = reader.lines();
        let pids: Vec<_> = lines.iter().filter_map(|line| line["pid"].as_u64()).collect();
        assert_eq!(pids, (0..100).collect::<Vec<_>>());
        assert_eq!(lines.last().unwrap()["ev"], "bye");
        assert!(lines.windows(2).all(|pair| pair[0]["t"].as_u64() <= pair[1]["t"].as_u64()));
    }

    #[tokio::test]
    async fn a_reader_that_stalls_stops_nothing_and_is_told_what_it_missed() {
        let reader = Reader::default();
        reader.stall(true);
        let mut events = Events::to(reader.clone()).unwrap();
        let said = WAITING as u64 * 2;
        for _ in 0..said {
            events.say(&Event::Ready { pid: 1 });
        }
        reader.stall(false);
        let seen = || reader.lines().len();
        timeout(Duration::from_secs(20), async {
            while seen() < WAITING {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        events.say(&Event::Ready { pid: 2 });
        events.end(false).await;
        let lines = reader.lines();
        let got = lines.iter().filter(|line| line["pid"] == 1).count() as u64;
        let told = lines.iter().filter_map(|line| line["what"].as_str());
        let told: u64 =
            told.map(|what| what.split_once(" events were lost").unwrap().0.parse::<u64>().unwrap()).sum();
        assert_eq!((told, told > 0), (said - got, true));
        assert_eq!(lines[lines.len() - 2]["pid"], 2);
    }

    #[tokio::test]
    async fn a_reader_that_comes_back_for_the_end_is_told_what_it_missed_before_the_last_word() {
        let reader = Reader::default();
        reader.stall(true);
        let mut events = Events::to(reader.clone()).unwrap();
        let said = WAITING as u64 * 2;
        for _ in 0..said {
            events.say(&Event::Ready { pid: 1 });
        }
        let missed = events.missed;
        let mut end = Box::pin(events.end(true));
        // It waits for room by then.
        assert!(futures::poll!(&mut end).is_pending());
        reader.stall(false);
        end.await;
        let lines = reader.lines();
        let got = lines.iter().filter(|line| line["pid"] == 1).count() as u64;
        assert_eq!((missed, missed > 0), (said - got, true));
        let what = format!("{missed} events were lost: nobody read them in time");
        assert_eq!(lines[lines.len() - 2]["what"], what);
        assert_eq!(lines[lines.len() - 1]["ev"], "bye");
    }

    #[tokio::test]
    async fn what_waits_for_a_stalled_reader_is_bounded_in_bytes_too() {
        let reader = Reader::default();
        reader.stall(true);
        let mut events = Events::to(reader.clone()).unwrap();
        let what = "x".repeat(1 << 20);
        for _ in 0..100 {
            events.say(&Event::Error { what: what.clone() });
        }
        assert!(events.missed >= 80, "{} were missed", events.missed);
        let missed = events.missed;
        reader.stall(false);
        // However long a line is, it is said when little waits before it.
        let all_written = || events.waiting.load(Ordering::Relaxed) == 0;
        timeout(Duration::from_secs(20), async {
            while !all_written() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        let long = "y".repeat(MOST_BYTES + 1);
        events.say(&Event::Error { what: long.clone() });
        events.end(true).await;
        let lines = reader.lines();
        let said = |what: &str| lines.iter().filter(|line| line["what"] == what).count() as u64;
        assert_eq!((said(&what), said(&long)), (100 - missed, 1));
        assert_eq!(said(&format!("{missed} events were lost: nobody read them in time")), 1);
    }

    #[tokio::test]
    async fn a_reader_that_never_comes_back_does_not_hold_up_the_end() {
        let reader = Reader::default();
        reader.stall(true);
        let mut events = Events::to(reader.clone()).unwrap();
        events.say(&Event::Ready { pid: 1 });
        timeout(Duration::from_secs(60), events.end(true)).await.unwrap();
        reader.stall(false);
    }

    #[tokio::test]
    async fn a_closed_reader_is_no_end_of_the_work() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut events = Events::to(Closed).unwrap();
        for pid in 0..WAITING as u32 * 2 {
            events.say(&Event::Ready { pid });
        }
        events.end(true).await;
    }
}
