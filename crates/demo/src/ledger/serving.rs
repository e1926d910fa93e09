//! The connections of a ledger.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::book::{Answer, Book, News, parse, refusal};
use crate::output::one_line;

/// A longer line is no act.
const LONGEST: usize = 4096;

/// So many connections at once; for a further one that is closed which has been silent for longest. Those who stand for election are a
/// handful.
pub(super) const MANY: usize = 1024;

/// Whoever does not take its answer in this time is hung up on.
const PATIENCE: Duration = Duration::from_secs(5);

/// When connections cannot be accepted, for want of descriptors perhaps, the next try.
const PAUSE: Duration = Duration::from_millis(50);

/// A book that many write in.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    book: Arc<Mutex<Book>>,
    /// Never waits for whoever reads: acts are answered also when nobody does.
    news: mpsc::Sender<News>,
}

impl Shared {
    pub(super) fn new(news: mpsc::Sender<News>) -> Self {
        Self { book: Arc::default(), news }
    }

    /// Works on the book. Nothing that is done with it can fail half way.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        work(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection as the one who accepts sees it.
struct Open {
    /// When something was said on it last, or it was opened.
    heard: watch::Receiver<Instant>,
    /// Dropped, it tells the connection to leave.
    stay: oneshot::Sender<()>,
}

/// Lets go of those that have been silent for longest until there are fewer than `many`.
fn make_room(open: &mut Vec<Open>, many: usize) {
    open.retain(|one| !one.stay.is_closed());
    while open.len() >= many.max(1) {
        let silent = open.iter().enumerate().min_by_key(|(_, one)| *one.heard.borrow());
        let Some((at, _)) = silent else { return };
        open.swap_remove(at);
    }
}

/// Accepts connections, for ever; no more than so many at once.
pub(super) async fn serve(listener: TcpListener, shared: Shared, many: usize) {
    let mut connections = JoinSet::new();
    let mut open = Vec::new();
    let mut failing = false;
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    failing = false;
                    make_room(&mut open, many);
                    let (tell, heard) = watch::channel(Instant::now());
                    let (stay, leave) = oneshot::channel::<()>();
                    open.push(Open { heard, stay });
                    let conversation = converse(stream, shared.clone(), tell);
                    connections.spawn(async {
                        tokio::select! {
                            // What was said is answered even when it has to leave.
                            biased;
                            _ = conversation => {}
                            _ = leave => {}
                        }
                    });
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(error = &error as &dyn std::error::Error, "cannot accept connections");
                    }
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

/// Answers line by line until the other side has no more.
async fn converse(stream: TcpStream, shared: Shared, heard: watch::Sender<Instant>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    // A leader that does not stop is told of once.
    let mut refused = None;
    while let Some(line) = next(&mut input).await? {
        heard.send_replace(Instant::now());
        let (answer, last) = match line {
            Line::Whole(line) => (judge(&shared, &line, &mut refused), false),
            // What follows belongs to it.
            Line::TooLong => {
                let why = refusal(&format!("it is longer than {LONGEST} bytes"));
                (shared.with(|book| book.not_understood(why)), true)
            }
        };
        let json = serde_json::to_string(&answer)?;
        timeout(PATIENCE, output.write_all((one_line(json) + "\n").as_bytes())).await??;
        if last {
            break;
        }
    }
    Ok(())
}

fn judge(shared: &Shared, line: &[u8], refused: &mut Option<i64>) -> Answer {
    let act = match parse(line) {
        Ok(act) => act,
        Err(why) => return shared.with(|book| book.not_understood(why)),
    };
    shared.with(|book| {
        let (answer, news) = book.judge(&act);
        let again = !answer.ok && refused.replace(act.token) == Some(act.token);
        if let Some(news) = news.filter(|_| !again)
            // In the order in which it happened, so while nobody else can judge.
            && shared.news.try_send(news).is_err()
        {
            warn!("nobody reads what becomes of the token");
        }
        answer
    })
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// The next line without its end. One that was not finished is nothing: whoever began it thought better of it.
async fn next(input: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    input.take(LONGEST as u64 + 1).read_until(b'\n', &mut line).await?;
    Ok(if line.last() == Some(&b'\n') {
        line.pop();
        Some(Line::Whole(line))
    } else if line.len() > LONGEST {
        Some(Line::TooLong)
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use serde_json::Value;

    use super::*;

    async fn start() -> (SocketAddr, Shared, mpsc::Receiver<News>) {
        start_for(MANY).await
    }

    async fn start_for(many: usize) -> (SocketAddr, Shared, mpsc::Receiver<News>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (news, told) = mpsc::channel(16);
        let shared = Shared::new(news);
        tokio::spawn(serve(listener, shared.clone(), many));
        (at, shared, told)
    }

    /// What is answered to `says`, until the ledger has no more to say.
    async fn ask(at: SocketAddr, says: &[u8]) -> Vec<Value> {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(says).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut all = String::new();
        timeout(Duration::from_secs(20), stream.read_to_string(&mut all)).await.unwrap().unwrap();
        all.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn each_line_is_answered_and_half_a_line_is_nothing() {
        let (at, shared, mut told) = start().await;
        let says = b"{\"who\":\"a\",\"token\":7,\"seq\":1}\nx\n{\"who\":\"b\",\"token\":6,\"seq\":1}\n\
            {\"who\":\"b\",\"token\":6,\"seq\":2}\n{\"who\":\"c\",\"token\":8,\"seq\":1}";
        let answers = ask(at, says).await;
        let oks: Vec<_> = answers.iter().map(|answer| (answer["ok"] == true, &answer["max"])).collect();
        let seven = Value::from(7);
        assert_eq!(oks, [(true, &seven), (false, &seven), (false, &seven), (false, &seven)]);
        assert!(answers[1]["error"].as_str().unwrap().contains("accepted"), "{answers:?}");
        assert_eq!(shared.with(|book| book.end()), News::End { accepted: 1, refused: 2 });
        assert_eq!(told.recv().await, Some(News::Holder { who: "a".to_owned(), token: 7 }));
        assert_eq!(told.recv().await, Some(News::Refused { who: "b".to_owned(), token: 6, max: 7 }));
        assert!(told.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused_and_others_are_served() {
        let (at, _shared, _told) = start().await;
        let mut endless = TcpStream::connect(at).await.unwrap();
        endless.write_all(&[b'x'; LONGEST + 1]).await.unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(20), endless.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.contains("longer than 4096 bytes"), "{answer}");
        let _idle = TcpStream::connect(at).await.unwrap();
        assert_eq!(ask(at, b"{\"who\":\"a\",\"token\":7,\"seq\":1}\n").await[0]["ok"], true);
    }

    /// Acts on a connection that stays: what is answered, or nothing when it was closed.
    async fn act(stream: &mut BufReader<TcpStream>) -> String {
        let mut answer = String::new();
        let _ = stream.write_all(b"{\"who\":\"a\",\"token\":7,\"seq\":1}\n").await;
        let _ = timeout(Duration::from_secs(20), stream.read_line(&mut answer)).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn those_who_say_nothing_keep_nobody_out() {
        let (at, _shared, _told) = start_for(4).await;
        let open = || async { BufReader::new(TcpStream::connect(at).await.unwrap()) };
        // The oldest, and the only one that is not idle.
        let mut busy = open().await;
        assert_eq!(act(&mut busy).await, "{\"ok\":true,\"max\":7}\n");
        let mut idle = Vec::new();
        for _ in 0..3 {
            idle.push(open().await);
        }
        for _ in 0..8 {
            assert_eq!(act(&mut busy).await, "{\"ok\":true,\"max\":7}\n", "it was not idle");
            let mut further = open().await;
            assert_eq!(act(&mut further).await, "{\"ok\":true,\"max\":7}\n");
            idle.push(further);
        }
        // The first of them were let go of.
        let mut nothing = String::new();
        timeout(Duration::from_secs(20), idle[0].read_line(&mut nothing)).await.unwrap().unwrap();
        assert_eq!(nothing, "");
    }
}
