//! One question to one server.

use std::io;
use std::time::Duration;

use proto::Address;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What the old clients say when they are connected, without an end of line. Some servers wait for it.
const QUESTION: &[u8] = b"timestamp";

/// A longer answer is none of a time server.
const LONGEST: usize = 1024;

/// What the server at `address` answers, or why that is nothing.
pub(crate) async fn ask(address: &Address, within: Duration) -> Result<String, String> {
    let asked = async { converse(TcpStream::connect((address.host(), address.port())).await?).await };
    match timeout(within, asked).await {
        Err(_) => Err(format!("no answer within {within:?}")),
        Ok(Err(error)) => Err(reason(&error)),
        Ok(Ok(answer)) => text(&answer),
    }
}

/// Asks, and gives what came up to the end of a line, the end of the connection or a reset: old servers send no end of line, and
/// those that close without having read the question reset the connection behind their answer.
///
/// # Errors
///
/// When the connection was lost before anything came.
async fn converse(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    // Whoever does not hear it any more may have answered before.
    let _ = stream.write_all(QUESTION).await;
    let mut answer = Vec::new();
    let end = BufReader::new(stream.take(LONGEST as u64)).read_until(b'\n', &mut answer).await;
    if answer.is_empty() { end.map(|_| answer) } else { Ok(answer) }
}

/// An answer as it may be shown, if it is one.
fn text(answer: &[u8]) -> Result<String, String> {
    let line = answer.strip_suffix(b"\n");
    match line.unwrap_or(answer) {
        b"" => Err("closed without an answer".to_owned()),
        whole if line.is_none() && whole.len() == LONGEST => {
            Err(format!("its answer does not end within {LONGEST} bytes"))
        }
        // Somebody else may listen there by now: what it says must not reach the terminal as commands.
        whole => Ok(String::from_utf8_lossy(whole).escape_debug().to_string()),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::ConnectionReset => "hung up".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// How long anything may take that is not what the test is about.
    const LONG: Duration = Duration::from_secs(20);

    /// What a client makes of a server that does this with its one connection.
    async fn asked<F: Future<Output = ()>>(
        within: Duration,
        serve: impl FnOnce(TcpStream) -> F,
    ) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let serve = async { serve(listener.accept().await.unwrap().0).await };
        tokio::join!(ask(&address, within), timeout(LONG, serve)).0
    }

    /// Waits until this has come, and leaves it there, so that a close is a reset.
    async fn has_come(stream: &TcpStream, bytes: &[u8]) {
        let mut there = vec![0; bytes.len()];
        while stream.peek(&mut there).await.unwrap() < bytes.len() {}
        assert_eq!(there, bytes);
    }

    async fn says(mut stream: TcpStream, answer: &'static [u8]) {
        let mut question = [0; QUESTION.len()];
        stream.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"timestamp");
        let _ = stream.write_all(answer).await;
    }

    #[tokio::test]
    async fn an_answer_ends_with_its_line_or_with_the_connection() {
        for (answer, shown) in [
            (&b"host:1 noon\nmore"[..], "host:1 noon"),
            (b"host:1 noon\n", "host:1 noon"),
            (b"host:1 noon", "host:1 noon"),
            (b"\x1b[2Jbad\xff\n", "\\u{1b}[2Jbad\u{fffd}"),
        ] {
            assert_eq!(asked(LONG, |stream| says(stream, answer)).await.as_deref(), Ok(shown));
        }
        // It need not close when there is a whole line.
        let whole = asked(LONG, |mut stream| async move {
            stream.write_all(b"host:1 noon\n").await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        assert_eq!(whole.await.as_deref(), Ok("host:1 noon"));
    }

    #[tokio::test]
    async fn nothing_and_too_much_are_no_answers() {
        for answer in [&b""[..], b"\n"] {
            let nothing = asked(LONG, |stream| says(stream, answer)).await;
            assert_eq!(nothing, Err("closed without an answer".to_owned()));
        }
        let endless = asked(LONG, |stream| says(stream, &[b'x'; 5000])).await;
        assert_eq!(endless, Err("its answer does not end within 1024 bytes".to_owned()));
        let hung_up = asked(LONG, |stream| async move { has_come(&stream, QUESTION).await }).await;
        assert_eq!(hung_up, Err("hung up".to_owned()));
        let silent = asked(Duration::from_millis(100), |mut stream| async move {
            stream.write_all(b"half a li").await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        assert_eq!(silent.await, Err("no answer within 100ms".to_owned()));
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let address = gone.to_string().parse().unwrap();
        assert_eq!(ask(&address, LONG).await, Err("refused".to_owned()));
    }

    #[tokio::test]
    async fn what_came_before_a_reset_is_the_answer() {
        let answered = asked(LONG, |mut stream| async move {
            stream.write_all(b"127.0.0.1:8897 noon").await.unwrap();
            has_come(&stream, QUESTION).await;
        });
        assert_eq!(answered.await.as_deref(), Ok("127.0.0.1:8897 noon"));
    }

    #[tokio::test]
    async fn a_server_that_is_gone_when_it_is_asked_may_have_answered_before() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut server = listener.accept().await.unwrap().0;
        server.write_all(b"127.0.0.1:8897 noon").await.unwrap();
        // By a reset, so that the question cannot even be sent.
        server.set_zero_linger().unwrap();
        drop(server);
        assert_eq!(converse(client).await.unwrap(), b"127.0.0.1:8897 noon");
    }
}
