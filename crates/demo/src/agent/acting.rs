//! What a leader does here: every ten milliseconds a line to a ledger, which may turn it away.

use std::fmt;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::time::Duration;

use leader::{Leadership, Term};
use proto::{Address, InstanceId};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::output::{brief, one_line};

/// From one act to the next, if the ledger answers faster.
const PACE: Duration = Duration::from_millis(10);

/// How long reaching a ledger, or an answer of it, may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// After a connection failed, the next one.
const PAUSE: Duration = Duration::from_millis(500);

/// No answer is longer.
const LONGEST: usize = 4096;

/// Acts on a ledger while there is a leadership to act for.
///
/// At most one act is in flight: the answer to the one before it is awaited also when that was another leadership's.
pub(super) struct Acting {
    at: Address,
    who: InstanceId,
    /// How many acts were begun, in the life of this process.
    seq: u64,
    leading: Option<Leadership>,
    /// When the next act is due.
    due: Instant,
    line: Line,
}

/// Something that came of acting.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The ledger turned an act of this term away, for it has seen a greater one.
    TurnedAway { term: Term, max: Option<i64> },
    /// An operator should know; it goes on.
    Trouble(String),
}

/// The connection.
enum Line {
    Down { until: Instant },
    Dialing(Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>),
    Up(Open),
}

struct Open {
    stream: TcpStream,
    act: Option<Act>,
    /// What was read and is not a whole line yet.
    heard: Vec<u8>,
}

/// An act that is written or waits for its answer.
struct Act {
    leadership: Leadership,
    line: Vec<u8>,
    written: usize,
    give_up: Instant,
}

#[derive(Serialize)]
struct Request<'a> {
    who: &'a InstanceId,
    token: i64,
    seq: u64,
}

/// What a ledger answers.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Answer {
    ok: bool,
    max: Option<i64>,
    /// What was wrong with the line, when that is why.
    error: Option<String>,
}

impl Acting {
    /// Nothing happens before there is a leadership.
    pub(super) fn on(at: Address, who: InstanceId) -> Self {
        let now = Instant::now();
        Self { at, who, seq: 0, leading: None, due: now, line: Line::Down { until: now } }
    }

    /// From now on it acts for this leadership.
    pub(super) fn begin(&mut self, leadership: Leadership) {
        self.leading = Some(leadership);
        self.due = Instant::now();
    }

    /// From now on it does not act.
    pub(super) fn end(&mut self) {
        self.leading = None;
    }

    /// Acts until something comes of it that others should know. Without a leadership this waits.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time; what was begun is gone on with at the next call.
    pub(super) async fn next(&mut self) -> Outcome {
        loop {
            match &mut self.line {
                // Nobody is dialed for nothing.
                Line::Down { .. } if self.leading.is_none() => std::future::pending().await,
                Line::Down { until } => {
                    sleep_until(*until).await;
                    self.line = Line::Dialing(Box::pin(dial(self.at.to_string())));
                }
                Line::Dialing(dialing) => match dialing.await {
                    Ok(stream) => self.line = Line::Up(Open { stream, act: None, heard: Vec::new() }),
                    Err(error) => return self.hang_up(format_args!("cannot be reached: {error}")),
                },
                Line::Up(open) => {
                    let wanted = self.leading.as_ref().map(|leading| (leading, self.due));
                    match open.step(wanted).await {
                        Ok(Step::Due(leadership)) => {
                            self.seq += 1;
                            self.due = Instant::now() + PACE;
                            open.act = Some(Act::new(leadership, &self.who, self.seq));
                        }
                        Ok(Step::Answered(_, Answer { ok: true, .. })) => {}
                        Ok(Step::Answered(_, Answer { error: Some(error), .. })) => {
                            return Outcome::Trouble(format!(
                                "the ledger at {} understood nothing: {}",
                                self.at,
                                brief(&error)
                            ));
                        }
                        Ok(Step::Answered(term, Answer { max, .. })) => {
                            return Outcome::TurnedAway { term, max };
                        }
                        Err(why) => return self.hang_up(why),
                    }
                }
            }
        }
    }

    fn hang_up(&mut self, why: impl fmt::Display) -> Outcome {
        self.line = Line::Down { until: Instant::now() + PAUSE };
        Outcome::Trouble(format!("the ledger at {} {why}", self.at))
    }
}

/// How far an open connection came.
enum Step {
    /// It is time for an act.
    Due(Leadership),
    /// The answer to an act of this term.
    Answered(Term, Answer),
}

impl Open {
    /// Gets the act that was begun done, or waits until one is `wanted`. An error says what the ledger did.
    async fn step(&mut self, wanted: Option<(&Leadership, Instant)>) -> Result<Step, String> {
        loop {
            // Also when it came with an answer: the next one would be taken for it.
            if self.act.is_none() && !self.heard.is_empty() {
                return Err("answered what was not asked".to_owned());
            }
            let writing = self.act.as_ref().is_some_and(|act| act.written < act.line.len());
            if writing && let Blocked::No = self.write()? {
                continue;
            }
            let (idle, give_up) = (self.act.is_none(), self.act.as_ref().map(|act| act.give_up));
            tokio::select! {
                biased;
                readable = self.stream.readable() => {
                    readable.map_err(failed)?;
                    if let Some(answer) = self.read()? {
                        return Ok(answer);
                    }
                }
                writable = self.stream.writable(), if writing => writable.map_err(failed)?,
                () = until(give_up) => return Err(format!("did not answer within {PATIENCE:?}")),
                () = until(wanted.map(|(_, due)| due)), if idle => {
                    if let Some((leadership, _)) = wanted {
                        return Ok(Step::Due(leadership.clone()));
                    }
                }
            }
        }
    }

    /// Writes what is left of the act, for as long as its leadership holds.
    fn write(&mut self) -> Result<Blocked, String> {
        let Some(act) = &mut self.act else { return Ok(Blocked::No) };
        let left = &act.line[act.written..];
        // Nothing may come between the guard and the write, an await least of all.
        let written = if act.leadership.holds() { Some(self.stream.try_write(left)) } else { None };
        match written {
            Some(Ok(written)) => act.written += written,
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(Blocked::Yes),
            Some(Err(error)) => return Err(failed(error)),
            None if act.written == 0 => self.act = None,
            // Half a line is no act, as long as nobody completes it.
            None => return Err("had half a line when our leadership ended".to_owned()),
        }
        Ok(Blocked::No)
    }

    /// Reads what is there: an answer, when it is whole.
    fn read(&mut self) -> Result<Option<Step>, String> {
        let mut buffer = [0; 1024];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => return Err("closed the connection".to_owned()),
            Ok(more) => self.heard.extend_from_slice(&buffer[..more]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let end = self.heard.iter().position(|byte| *byte == b'\n');
        if end.unwrap_or(self.heard.len()) > LONGEST {
            return Err(format!("answered with more than {LONGEST} bytes"));
        }
        let Some(end) = end else { return Ok(None) };
        let line: Vec<_> = self.heard.drain(..=end).collect();
        match self.act.take() {
            Some(act) if act.written == act.line.len() => {
                Ok(Some(Step::Answered(act.leadership.term(), parse(&line)?)))
            }
            _ => Err("answered what was not asked".to_owned()),
        }
    }
}

/// Whether writing has to wait for the other side.
enum Blocked {
    Yes,
    No,
}

impl Act {
    fn new(leadership: Leadership, who: &InstanceId, seq: u64) -> Self {
        let Term(token) = leadership.term();
        let json = serde_json::to_string(&Request { who, token, seq })
            .expect("a request is a map of a text and two numbers");
        let line = (one_line(json) + "\n").into_bytes();
        Self { leadership, line, written: 0, give_up: Instant::now() + PATIENCE }
    }
}

async fn dial(at: String) -> io::Result<TcpStream> {
    let stream = timeout(PATIENCE, TcpStream::connect(at)).await??;
    // A line is to be sent when it is written.
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn parse(line: &[u8]) -> Result<Answer, String> {
    serde_json::from_slice(line)
        .map_err(|error| format!("answered what is no answer: {}", brief(&error.to_string())))
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn failed(error: io::Error) -> String {
    format!("is not connected any more: {error}")
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl fmt::Debug for Acting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acting").field("at", &self.at).field("seq", &self.seq).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use leader::{Candidacy, Election, NodeData, Root, ServiceName};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;
    use zk_session::Keeper;
    use zk_session::fake::{FakeClient, FakeZk};

    use super::*;
    use crate::hostile;

    const ANSWERS: [&str; 4] = [
        r#"{"ok":true,"max":7}"#,
        r#"{"ok":false,"max":-9223372036854775808}"#,
        r#"{"ok":false,"error":"this is no act\\u0007","max":1}"#,
        r#"{"max":null,"error":null,"ok":true,"more":{"a":[]}}"#,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_line_is_an_answer_or_is_refused_in_few_words(line in hostile::line(&ANSWERS)) {
            if let Err(why) = parse(&line) {
                prop_assert!(hostile::is_brief(&why), "{}", why);
            }
        }
    }

    const LONG: Duration = Duration::from_secs(20);

    /// One that leads, on a fake server.
    struct Leader {
        leadership: Leadership,
        client: FakeClient,
        _candidacy: Candidacy,
        _keeper: Keeper,
    }

    impl Leader {
        async fn start() -> Self {
            let client = FakeZk::default().client();
            let keeper = Keeper::start(client.clone());
            let election = Election::new(keeper.sessions(), Root::default());
            let service = ServiceName::parse("time").unwrap();
            let candidacy = election.campaign(&service, NodeData::behind_broker("a")).unwrap();
            let leadership = timeout(LONG, candidacy.elected()).await.unwrap().unwrap();
            Self { leadership, client, _candidacy: candidacy, _keeper: keeper }
        }

        /// As when the process was stopped: nobody was told yet, but the guard knows.
        fn was_stopped(&self) {
            self.client.sleep(Duration::from_secs(3600));
        }
    }

    async fn ledger() -> (TcpListener, Acting) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().to_string().parse().unwrap();
        (listener, Acting::on(at, InstanceId::parse("a\"b").unwrap()))
    }

    async fn open() -> (Open, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = dial(listener.local_addr().unwrap().to_string()).await.unwrap();
        let (other, _) = listener.accept().await.unwrap();
        (Open { stream, act: None, heard: Vec::new() }, other)
    }

    fn act(leader: &Leader) -> Act {
        Act::new(leader.leadership.clone(), &InstanceId::parse("a").unwrap(), 1)
    }

    #[tokio::test]
    async fn it_acts_line_by_line_until_the_guard_says_no() {
        let leader = Leader::start().await;
        let (listener, mut acting) = ledger().await;
        let token = leader.leadership.term().0;
        acting.begin(leader.leadership.clone());
        let ledger = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            for seq in 1..=3 {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                assert_eq!(line, format!("{{\"who\":\"a\\\"b\",\"token\":{token},\"seq\":{seq}}}\n"));
                if seq == 3 {
                    leader.was_stopped();
                }
                stream.write_all(format!("{{\"ok\":true,\"max\":{token}}}\n").as_bytes()).await.unwrap();
            }
            // Ten more were due.
            timeout(PACE * 10, stream.read_u8()).await.unwrap_err();
        };
        tokio::select! {
            outcome = acting.next() => panic!("{outcome:?}"),
            done = timeout(LONG, ledger) => done.unwrap(),
        }
    }

    #[tokio::test]
    async fn an_act_that_waits_for_room_is_given_up_when_the_leadership_ends() {
        for written in [0, 5] {
            let leader = Leader::start().await;
            let (mut open, mut other) = open().await;
            // Until nothing fits any more.
            let mut full = 0;
            while timeout(Duration::from_millis(200), open.stream.writable()).await.is_ok() {
                full += open.stream.try_write(&[b'x'; 4096]).unwrap_or(0);
            }
            open.act = Some(Act { written, ..act(&leader) });
            timeout(Duration::from_millis(50), open.step(None)).await.map(drop).unwrap_err();
            leader.was_stopped();
            let read_all = async {
                let mut rest = Vec::new();
                other.read_to_end(&mut rest).await.unwrap();
                rest
            };
            let step = async {
                let gave_up = timeout(Duration::from_millis(500), open.step(None)).await;
                assert!(open.act.as_ref().is_none_or(|act| act.written > 0));
                drop(open);
                gave_up
            };
            let (gave_up, rest) = tokio::join!(step, read_all);
            assert_eq!(rest.len(), full, "something was sent");
            match gave_up {
                Ok(Err(why)) => assert!(written > 0 && why.contains("half a line"), "{why}"),
                Ok(Ok(_)) => panic!("it acted"),
                Err(_) => assert_eq!(written, 0),
            }
        }
    }

    #[tokio::test]
    async fn what_a_ledger_says_is_understood_or_the_connection_is_given_up() {
        let leader = Leader::start().await;
        let trouble = |what: &str| Outcome::Trouble(what.to_owned());
        let token = leader.leadership.term();
        for (says, expected) in [
            ("{\"ok\":false,\"max\":9}\n", Outcome::TurnedAway { term: token, max: Some(9) }),
            ("{\"more\":1,\"ok\":false}\n", Outcome::TurnedAway { term: token, max: None }),
            ("{\"ok\":false,\"error\":\"what?\",\"max\":1}\n", trouble("understood nothing: what?")),
            ("nonsense\n", trouble("answered what is no answer")),
            ("{\"max\":9}\n", trouble("answered what is no answer")),
            ("{\"ok\":true,\"max\":1}\n{\"ok\":true,\"max\":1}\n", trouble("answered what was not asked")),
            ("", trouble("closed the connection")),
            (&"x".repeat(LONGEST + 1), trouble("more than 4096 bytes")),
        ] {
            let (listener, mut acting) = ledger().await;
            acting.begin(leader.leadership.clone());
            let ledger = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_u8().await.unwrap();
                // An end that leaves something unread would be another error.
                let _ = stream.try_read(&mut [0; 1024]);
                stream.write_all(says.as_bytes()).await.unwrap();
                if says.is_empty() { drop(stream) } else { std::future::pending().await }
            };
            let outcome = async {
                tokio::select! {
                    outcome = acting.next() => outcome,
                    () = async { ledger.await; std::future::pending().await } => unreachable!(),
                }
            };
            let outcome = timeout(LONG, outcome).await.unwrap();
            match (&outcome, &expected) {
                (Outcome::Trouble(what), Outcome::Trouble(part)) => {
                    assert!(what.contains(part) && what.contains("127.0.0.1:"), "{says}: {what}");
                }
                _ => assert_eq!(outcome, expected, "{says}"),
            }
        }
    }

    #[tokio::test]
    async fn nobody_is_dialed_before_there_is_a_leadership() {
        let (listener, mut acting) = ledger().await;
        timeout(PACE * 5, acting.next()).await.unwrap_err();
        timeout(PACE * 5, listener.accept()).await.map(drop).unwrap_err();
    }
}
