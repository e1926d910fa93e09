//! One question to one server.

use std::time::Duration;

use proto::Address;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A longer answer is none of a time server.
const LONGEST: u64 = 1024;

/// The line that the server at `address` answers with, or why there is none.
pub(crate) async fn ask(address: &Address, within: Duration) -> Result<String, String> {
    let asked = async {
        let stream = TcpStream::connect((address.host(), address.port())).await?;
        let mut line = Vec::new();
        BufReader::new(stream.take(LONGEST)).read_until(b'\n', &mut line).await?;
        Ok(line)
    };
    let line = match timeout(within, asked).await {
        Err(_) => return Err(format!("no answer within {within:?}")),
        Ok(Err(error)) => return Err(reason(&error)),
        Ok(Ok(line)) => line,
    };
    // Somebody else may listen there by now: what it says must not reach the terminal as commands.
    match line.strip_suffix(b"\n").map(String::from_utf8_lossy) {
        Some(text) if !text.is_empty() => Ok(text.escape_debug().to_string()),
        _ => Err("closed without an answer".to_owned()),
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        std::io::ErrorKind::ConnectionReset => "hung up".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn answered(says: &'static [u8], closes: bool) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(says).await;
            if !closes {
                std::future::pending::<()>().await;
            }
        };
        let within = if closes { Duration::from_secs(20) } else { Duration::from_millis(100) };
        tokio::join!(ask(&address, within), timeout(within * 2, serve)).0
    }

    #[tokio::test]
    async fn an_answer_is_one_whole_line() {
        assert_eq!(answered(b"host:1 noon\nmore", true).await.as_deref(), Ok("host:1 noon"));
        assert_eq!(answered(b"host:1 noon\n", false).await.as_deref(), Ok("host:1 noon"));
        assert_eq!(answered(b"\x1b[2Jbad\xff\n", true).await.as_deref(), Ok("\\u{1b}[2Jbad\u{fffd}"));
    }

    #[tokio::test]
    async fn anything_else_is_no_answer() {
        for says in [&b""[..], b"\n", b"half a li", &[b'x'; 5000]] {
            assert_eq!(answered(says, true).await, Err("closed without an answer".to_owned()));
        }
        assert_eq!(answered(b"half a li", false).await, Err("no answer within 100ms".to_owned()));
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let address = gone.to_string().parse().unwrap();
        assert_eq!(ask(&address, Duration::from_secs(20)).await, Err("refused".to_owned()));
    }
}
