//! What happened, as it was seen from outside of the processes: one JSON object per line in a file, and nothing is judged without it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::plan::Kind;
use crate::who::Who;

/// Nanoseconds of the machine's monotonic clock, which agents put on their events as well.
pub(crate) type Nanos = u64;

/// Now, by that clock.
pub(crate) fn now() -> Nanos {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    // Neither is ever negative: the clock starts with the machine.
    seconds.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
}

pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: Nanos,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// One life of a process: from one start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) who: Who,
    /// Counted from 0.
    pub(crate) life: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(crate) enum What {
    /// What all the rest is to be seen by.
    Setting(Setting),
    Started {
        #[serde(flatten)]
        life: Life,
        pid: u32,
        /// The port that it was to register.
        port: Option<u16>,
    },
    Ended {
        #[serde(flatten)]
        life: Life,
        /// None when a signal ended it.
        code: Option<i32>,
    },
    /// An agent said something.
    Said {
        #[serde(flatten)]
        life: Life,
        event: Event,
    },
    /// An agent said something that nobody understands.
    Garbled {
        #[serde(flatten)]
        life: Life,
        line: String,
    },
    /// An agent was told something.
    Told {
        #[serde(flatten)]
        life: Life,
        command: Command,
    },
    /// A leader wanted to act, and the ledger allowed it or not.
    Acted { who: Who, token: i64, ok: bool },
    /// Everybody is at work, and nothing was broken yet.
    Begun,
    /// A fault begins.
    Fault { id: u32, kind: Kind, on: Vec<String> },
    /// It is over.
    Over { id: u32 },
    /// Nothing is broken any more.
    Healed,
    /// Everything works again.
    Whole,
    /// Something does not work again, and was not waited for any longer.
    Stuck { missing: String },
    /// What a process uses while nothing is broken.
    Uses {
        #[serde(flatten)]
        life: Life,
        descriptors: usize,
        rss_kib: u64,
    },
    /// A process made so many connections after that time.
    Connected { who: Who, connections: u64, since: Nanos },
    /// What ZooKeeper's servers wrote to their log, at the time that they say.
    Wrote { zxid: i64, session: i64, change: Change },
    /// The end of the run.
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) session_ms: u64,
    pub(crate) tick_ms: u64,
    pub(crate) service: String,
    /// What was broken in the candidates on purpose.
    pub(crate) broken: Option<String>,
}

impl Setting {
    pub(crate) fn session(&self) -> Duration {
        Duration::from_millis(self.session_ms)
    }

    pub(crate) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms)
    }
}

/// What an agent says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "kebab-case")]
pub(crate) enum Event {
    Ready,
    Session { state: SessionState, session_id: SessionId },
    Registered { path: String, session_id: SessionId },
    Deregistered,
    LeaderAcquired { token: i64, path: String, session_id: SessionId },
    LeaderLost { token: i64, reason: String },
    Fenced { token: i64 },
    View { instances: Vec<Seen>, source: Source },
    BadNode { path: String },
    Error { what: String },
    Tasks { alive: usize },
    Bye { clean: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SessionState {
    Connected,
    Suspended,
    Expired,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    Live,
    Stale,
}

/// An instance in a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) port: Option<u16>,
}

/// What agents are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
pub(crate) enum Command {
    Deregister,
    Update { port: u16 },
    Tasks,
    Quit,
}

/// A session, which agents write as "0x…".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct SessionId(pub(crate) i64);

impl From<SessionId> for String {
    fn from(SessionId(id): SessionId) -> Self {
        format!("{id:#x}")
    }
}

impl TryFrom<String> for SessionId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").ok_or_else(|| format!("{text:?} is no session id"))?;
        let id = u64::from_str_radix(digits, 16).map_err(|error| format!("{text:?}: {error}"))?;
        Ok(Self(id.cast_signed()))
    }
}

/// A change of ZooKeeper's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub(crate) enum Change {
    Created {
        path: String,
        ephemeral: bool,
    },
    Deleted {
        path: String,
    },
    /// The session is over, and its ephemeral nodes with it.
    SessionClosed,
}

/// All that happened in one run, in the order of time.
#[derive(Debug, PartialEq)]
pub(crate) struct History {
    pub(crate) setting: Setting,
    pub(crate) entries: Vec<Entry>,
}

impl History {
    /// Entries in the order of time; those of one moment stay as they are.
    pub(crate) fn new(setting: Setting, mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| entry.at);
        Self { setting, entries }
    }

    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        let begin = self.entries.first().map_or(0, |first| first.at);
        let first = Entry { at: begin, what: What::Setting(self.setting.clone()) };
        for entry in std::iter::once(&first).chain(&self.entries) {
            serde_json::to_writer(&mut file, entry)?;
            file.write_all(b"\n")?;
        }
        file.flush().with_context(|| format!("cannot write {}", path.display()))
    }

    /// What [`History::write`] wrote.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut lines = BufReader::new(file).lines().zip(1..);
        let mut next = || {
            lines.next().map(|(line, number)| {
                let at = || format!("line {number} of {} is no entry of a history", path.display());
                serde_json::from_str::<Entry>(&line?).with_context(at)
            })
        };
        let first = next().transpose()?;
        let Some(Entry { what: What::Setting(setting), .. }) = first else {
            anyhow::bail!(
                "{} does not begin with the setting of a run: is it what `chaos run` wrote to target/chaos/SEED.jsonl?",
                path.display()
            );
        };
        let entries = std::iter::from_fn(next).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(
            matches!(entries.last(), Some(Entry { what: What::Done, .. })),
            "{} is not whole, its last line is missing: the run was ended while it went on, and has to be made again",
            path.display()
        );
        Ok(Self { setting, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting { seed: 7, session_ms: 2000, tick_ms: 200, service: "s".into(), broken: None }
    }

    #[test]
    fn what_an_agent_says_is_understood() {
        for (line, event) in [
            (
                r#"{"ev":"session","state":"connected","session_id":"0xff00000000000001","timeout_ms":2000,"t":5}"#,
                Event::Session {
                    state: SessionState::Connected,
                    session_id: SessionId(0xff00_0000_0000_0001_u64.cast_signed()),
                },
            ),
            (
                r#"{"ev":"view","service":"s","instances":[{"id":"a","addr":"h","port":80}],"source":"stale","t":5}"#,
                Event::View {
                    instances: vec![Seen { id: "a".into(), port: Some(80) }],
                    source: Source::Stale,
                },
            ),
            (r#"{"ev":"ready","pid":5,"t":5}"#, Event::Ready),
        ] {
            assert_eq!(serde_json::from_str::<Event>(line).unwrap(), event);
        }
        assert!(serde_json::from_str::<Event>(r#"{"ev":"no-such-event","t":5}"#).is_err());
    }

    #[test]
    fn a_history_is_read_as_it_was_written() {
        let life = Life { who: "i03".parse().unwrap(), life: 2 };
        let event = Event::Registered { path: "/p".into(), session_id: SessionId(-5) };
        let change = Change::Created { path: "/p".into(), ephemeral: true };
        let entries = vec![
            Entry { at: 9, what: What::Done },
            Entry { at: 3, what: What::Started { life, pid: 77, port: Some(8) } },
            Entry { at: 4, what: What::Said { life, event } },
            Entry { at: 5, what: What::Told { life, command: Command::Update { port: 4 } } },
            Entry { at: 6, what: What::Fault { id: 1, kind: Kind::Blip, on: vec!["c01".into()] } },
            Entry { at: 7, what: What::Wrote { zxid: 1 << 33, session: -5, change } },
        ];
        let history = History::new(setting(), entries);
        assert!(history.entries.is_sorted_by_key(|entry| entry.at));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        history.write(&path).unwrap();
        assert_eq!(History::read(&path).unwrap(), history);

        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.trim_end().rsplit_once('\n').unwrap().0).unwrap();
        assert!(History::read(&path).unwrap_err().to_string().contains("not whole"));
    }
}
