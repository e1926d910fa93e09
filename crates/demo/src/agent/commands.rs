//! What an agent is told: one JSON object per line on stdin.

use std::io::{BufRead, BufReader, Read};
use std::num::NonZeroU16;

use serde::{Deserialize, Deserializer};
use tokio::sync::mpsc;

use crate::output::brief;

/// A longer line is refused, and not kept.
const LONGEST: usize = 64 * 1024;

/// So many commands may wait; the pipe holds the rest.
const WAITING: usize = 64;

/// What an agent can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Deregister,
    Update {
        port: Option<NonZeroU16>,
        weight: Option<u32>,
    },
    Resign,
    /// Say how many tasks there are, to see that they do not grow.
    Tasks,
    Quit,
}

/// The commands that come from `input`, or what is wrong with a line. Stays open, and silent, when `input` ends.
pub(crate) fn read(input: impl Read + Send + 'static) -> std::io::Result<Commands> {
    let (told, commands) = mpsc::channel(WAITING);
    let open = told.clone();
    // Not a task: a read that never ends would hold up the end of the process.
    std::thread::Builder::new().name("commands".into()).spawn(move || {
        let mut lines = Lines { input: BufReader::new(input), number: 0 };
        while let Some(line) = lines.next() {
            let command = line.and_then(|line| parse(&line)).map_err(|why| {
                format!("line {} of stdin is no command: {why}; accepted: {ACCEPTED}", lines.number)
            });
            if told.blocking_send(command).is_err() {
                return;
            }
        }
    })?;
    Ok(Commands { commands, _open: open })
}

const ACCEPTED: &str = r#"one of {"cmd":"deregister"}, {"cmd":"update","port":N}, {"cmd":"update","weight":N}, {"cmd":"resign"}, {"cmd":"tasks"}, {"cmd":"quit"} per line"#;

/// See [`read`].
#[derive(Debug)]
pub(crate) struct Commands {
    commands: mpsc::Receiver<Result<Command, String>>,
    /// A closed stdin is not a command, and must not look like one.
    _open: mpsc::Sender<Result<Command, String>>,
}

impl Commands {
    /// The next command.
    ///
    /// # Cancel safety
    ///
    /// None is lost when this is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> Result<Command, String> {
        match self.commands.recv().await {
            Some(command) => command,
            None => std::future::pending().await,
        }
    }
}

/// Lines of bounded length.
struct Lines<R> {
    input: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// The next line without its end, or what is wrong with it; `None` at the end of the input.
    fn next(&mut self) -> Option<Result<Vec<u8>, String>> {
        let mut line = Vec::new();
        // An unreadable stdin is a closed one.
        let got = (&mut self.input).take(LONGEST as u64 + 1).read_until(b'\n', &mut line).ok()?;
        if got == 0 {
            return None;
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if got > LONGEST {
            self.skip();
            return Some(Err(format!("it is longer than {LONGEST} bytes")));
        }
        Some(Ok(line))
    }

    /// Passes over the rest of a line.
    fn skip(&mut self) {
        while let Ok(here) = self.input.fill_buf() {
            let end = here.iter().position(|byte| *byte == b'\n');
            let (past, done) = (end.map_or(here.len(), |end| end + 1), end.is_some() || here.is_empty());
            self.input.consume(past);
            if done {
                return;
            }
        }
    }
}

/// A line's fields, each at most once and none besides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    cmd: String,
    #[serde(default, deserialize_with = "given")]
    port: Option<NonZeroU16>,
    #[serde(default, deserialize_with = "given")]
    weight: Option<u32>,
}

/// A field that may be absent, but not null.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// What a line without its end tells, or what is wrong with it.
pub(crate) fn parse(line: &[u8]) -> Result<Command, String> {
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    // A list of the values would do for serde.
    if !text.trim_start().starts_with('{') {
        return Err("it is not a JSON object".into());
    }
    let Fields { cmd, port, weight } =
        serde_json::from_str(text).map_err(|error| brief(&error.to_string()))?;
    let plain = |command| match (port, weight) {
        (None, None) => Ok(command),
        _ => Err(format!("{cmd} takes neither port nor weight")),
    };
    match &*cmd {
        "deregister" => plain(Command::Deregister),
        "resign" => plain(Command::Resign),
        "tasks" => plain(Command::Tasks),
        "quit" => plain(Command::Quit),
        "update" if port.is_none() && weight.is_none() => Err("update needs a port or a weight".into()),
        "update" => Ok(Command::Update { port, weight }),
        _ => Err("the cmd is unknown".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::hostile;

    #[test]
    fn every_command_is_understood() {
        let port = NonZeroU16::new(81);
        for (line, command) in [
            (r#"{"cmd":"deregister"}"#, Command::Deregister),
            (r#" { "cmd" : "resign" } "#, Command::Resign),
            (r#"{"cmd":"tasks"}"#, Command::Tasks),
            ("{\"cmd\":\"quit\"}\r", Command::Quit),
            (r#"{"cmd":"update","port":81}"#, Command::Update { port, weight: None }),
            (r#"{"weight":0,"cmd":"update"}"#, Command::Update { port: None, weight: Some(0) }),
            (
                r#"{"cmd":"update","port":81,"weight":4294967295}"#,
                Command::Update { port, weight: Some(u32::MAX) },
            ),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        for (line, why) in [
            (&b""[..], "not a JSON object"),
            (b"quit", "not a JSON object"),
            (b"\"quit\"", "not a JSON object"),
            (b"[\"quit\",80,3]", "not a JSON object"),
            (b"{", "EOF"),
            (b"{}", "missing field `cmd`"),
            (b"{\"cmd\":\"Quit\"}", "unknown"),
            (b"{\"cmd\":\"quit\"} {\"cmd\":\"quit\"}", "trailing"),
            (b"{\"cmd\":\"quit\",\"now\":true}", "unknown field"),
            (b"{\"cmd\":\"quit\",\"cmd\":\"quit\"}", "duplicate"),
            (b"{\"cmd\":\"quit\",\"port\":80}", "neither"),
            (b"{\"cmd\":\"quit\",\"port\":null}", "null"),
            (b"{\"cmd\":\"update\"}", "needs"),
            (b"{\"cmd\":\"update\",\"port\":0}", "nonzero"),
            (b"{\"cmd\":\"update\",\"port\":65536}", "65536"),
            (b"{\"cmd\":\"update\",\"port\":80.0}", "floating"),
            (b"{\"cmd\":\"update\",\"port\":\"80\"}", "string"),
            (b"{\"cmd\":\"update\",\"weight\":-1}", "-1"),
            (b"{\"cmd\":\"update\",\"weight\":4294967296}", "4294967296"),
            (b"{\"cmd\":\"qu\xffit\"}", "utf-8"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(why), "{}: {error}", String::from_utf8_lossy(line));
        }
        assert!(parse("[".repeat(60_000).as_bytes()).is_err());
    }

    fn all(input: Vec<u8>) -> Vec<Result<Vec<u8>, String>> {
        let mut lines = Lines { input: BufReader::new(Cursor::new(input)), number: 0 };
        std::iter::from_fn(|| lines.next()).collect()
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_one_read() {
        let longest = vec![b'x'; LONGEST];
        let too_long = vec![b'x'; 10 * LONGEST];
        let input = [&longest[..], b"\n", &too_long, b"\nquit\n"].concat();
        let refused = Err(format!("it is longer than {LONGEST} bytes"));
        assert_eq!(all(input), [Ok(longest), refused.clone(), Ok(b"quit".to_vec())]);
        assert_eq!(all(too_long), [refused]);
        assert_eq!(all(b"a\n\nb".to_vec()), [Ok(b"a".to_vec()), Ok(Vec::new()), Ok(b"b".to_vec())]);
        assert_eq!(all(Vec::new()), []);
    }

    /// As it is documented.
    fn written(command: Command) -> String {
        match command {
            Command::Deregister => r#"{"cmd":"deregister"}"#.to_owned(),
            Command::Resign => r#"{"cmd":"resign"}"#.to_owned(),
            Command::Tasks => r#"{"cmd":"tasks"}"#.to_owned(),
            Command::Quit => r#"{"cmd":"quit"}"#.to_owned(),
            Command::Update { port, weight } => {
                let port = port.map_or_else(String::new, |port| format!(r#","port":{port}"#));
                let weight = weight.map_or_else(String::new, |weight| format!(r#","weight":{weight}"#));
                format!(r#"{{"cmd":"update"{port}{weight}}}"#)
            }
        }
    }

    const COMMANDS: [&str; 6] = [
        r#"{"cmd":"tasks"}"#,
        r#"{"cmd":"deregister"}"#,
        r#"{"cmd":"update","port":81,"weight":7}"#,
        r#"{"weight":0,"cmd":"update"}"#,
        r#"{"cmd":"resign"}"#,
        r#"{"cmd":"quit"}"#,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_line_is_a_command_or_is_refused_in_few_words(line in hostile::line(&COMMANDS)) {
            match parse(&line) {
                Ok(command) => prop_assert_eq!(parse(written(command).as_bytes()), Ok(command)),
                Err(why) => prop_assert!(hostile::is_brief(&why), "{}", why),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn lines_are_found_however_they_arrive(
            lengths in vec(prop_oneof![4 => 0..50usize, 1 => select(vec![LONGEST - 1, LONGEST, LONGEST + 1, 3 * LONGEST])], 0..6),
            ended in any::<bool>(),
            piece in 1..20_000usize,
        ) {
            let line = |(index, length): (usize, &usize)| vec![b'a' + u8::try_from(index).unwrap(); *length];
            let lines: Vec<_> = lengths.iter().enumerate().map(line).collect();
            let mut input = lines.join(&b'\n');
            if ended && !lines.is_empty() {
                input.push(b'\n');
            }
            let mut expected: Vec<_> = lines
                .into_iter()
                .map(|line| if line.len() > LONGEST { Err(format!("it is longer than {LONGEST} bytes")) } else { Ok(line) })
                .collect();
            // Nothing behind the last end of a line is no line.
            if !ended && expected.last().is_some_and(|line| line.as_ref().is_ok_and(Vec::is_empty)) {
                expected.pop();
            }
            let mut lines = Lines { input: BufReader::with_capacity(piece, Cursor::new(input)), number: 0 };
            prop_assert_eq!(std::iter::from_fn(|| lines.next()).collect::<Vec<_>>(), expected);
        }
    }

    #[tokio::test]
    async fn a_bad_line_is_told_with_its_number_and_the_end_of_input_is_silence() {
        let mut commands = read(Cursor::new(b"{}\n{\"cmd\":\"quit\"}\n".to_vec())).unwrap();
        let error = commands.next().await.unwrap_err();
        assert!(error.starts_with("line 1 of stdin is no command: missing field"), "{error}");
        assert!(error.contains("; accepted: one of {\"cmd\":\"deregister\"}"), "{error}");
        assert_eq!(commands.next().await, Ok(Command::Quit));
        tokio::time::timeout(Duration::from_millis(50), commands.next()).await.unwrap_err();
    }
}
