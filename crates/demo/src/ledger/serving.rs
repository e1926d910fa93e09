//! The connections of a ledger.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::book::{Answer, Book, News, parse, refusal};
use crate::output::one_line;

/// A longer line is no act.
const LONGEST: usize = 4096;

/// So many connections at once; a further one is closed. Those who stand for election are a handful.
const MANY: usize = 1024;

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

/// Accepts connections, for ever.
pub(super) async fn serve(listener: TcpListener, shared: Shared) {
    let mut open = JoinSet::new();
    let mut failing = false;
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    failing = false;
                    if open.len() < MANY {
                        open.spawn(converse(stream, shared.clone()));
                    }
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
async fn converse(stream: TcpStream, shared: Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    // A leader that does not stop is told of once.
    let mut refused = None;
    while let Some(line) = next(&mut input).await? {
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (news, told) = mpsc::channel(16);
        let shared = Shared::new(news);
        tokio::spawn(serve(listener, shared.clone()));
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
}
