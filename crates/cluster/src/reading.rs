//! Reads one object from a stream, wherever its bytes are cut.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// The most bytes that an object may have, white space before it included.
pub const MAX_BYTES: usize = 64 * 1024;

/// How much is read at once.
const PIECE: usize = 4 * 1024;

/// An object as its bytes come in. It ends where its JSON ends; nothing has to follow.
///
/// Each byte is looked at once. Only brackets and strings are understood here: whether it is JSON turns out when the whole is
/// parsed.
///
/// # Examples
///
/// ```
/// let mut object = cluster::Object::default();
/// assert_eq!(object.take(br#" {"a":"}"#)?, None);
/// assert_eq!(object.take(br#""} more"#)?, Some(2));
/// assert_eq!(object.into_bytes(), br#" {"a":"}"}"#);
/// # Ok::<(), cluster::ObjectError>(())
/// ```
#[derive(Debug, Default)]
pub struct Object {
    bytes: Vec<u8>,
    depth: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Before,
    Inside,
    InString,
    AfterBackslash,
    Behind,
}

impl Object {
    /// Takes the next bytes. Tells how many of them belong to the object once it is whole.
    ///
    /// # Errors
    ///
    /// When this can never become an object of an accepted size. After that the result of another call means nothing.
    pub fn take(&mut self, piece: &[u8]) -> Result<Option<usize>, ObjectError> {
        for (taken, byte) in piece.iter().enumerate() {
            if matches!(self.place, Place::Behind) {
                return Ok(Some(taken));
            }
            if self.bytes.len() == MAX_BYTES {
                return Err(ObjectError::TooLarge);
            }
            self.step(*byte)?;
            self.bytes.push(*byte);
        }
        Ok(matches!(self.place, Place::Behind).then_some(piece.len()))
    }

    /// How many bytes were taken, white space before the object included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was taken yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was taken.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn step(&mut self, byte: u8) -> Result<(), ObjectError> {
        self.place = match (self.place, byte) {
            (Place::Before, b' ' | b'\t' | b'\r' | b'\n') => Place::Before,
            (Place::Before, b'{') => self.open(),
            (Place::Before, other) => return Err(ObjectError::NotAnObject { begins: other }),
            (Place::Inside, b'"') => Place::InString,
            (Place::Inside, b'{' | b'[') => self.open(),
            (Place::Inside, b'}' | b']') => self.close(),
            (Place::InString, b'"') => Place::Inside,
            (Place::InString, b'\\') => Place::AfterBackslash,
            (Place::AfterBackslash, _) => Place::InString,
            (same, _) => same,
        };
        Ok(())
    }

    fn open(&mut self) -> Place {
        self.depth += 1;
        Place::Inside
    }

    fn close(&mut self) -> Place {
        self.depth -= 1;
        if self.depth == 0 { Place::Behind } else { Place::Inside }
    }
}

/// Why bytes are no object, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// It begins with something else.
    #[error("it begins with '{}'; accepted: a JSON object, which begins with '{{'", begins.escape_ascii())]
    NotAnObject {
        /// The byte that it begins with.
        begins: u8,
    },

    /// It is not over after [`MAX_BYTES`].
    #[error("the object does not end within {MAX_BYTES} bytes, and no more are accepted")]
    TooLarge,
}

/// Why no object was read from a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// What came is none.
    #[error(transparent)]
    Object(#[from] ObjectError),

    /// The other side closed the connection without a word.
    #[error("it closed the connection without a word; accepted: one JSON object")]
    Nothing,

    /// The other side closed the connection before the object was whole.
    #[error("it closed the connection after {bytes} bytes, before the object ended")]
    Torn {
        /// So many had come.
        bytes: usize,
    },

    /// It took too long.
    #[error("{bytes} bytes and no whole object came within {within:?}")]
    TooSlow {
        /// So many had come.
        bytes: usize,
        /// So long it was waited for.
        within: Duration,
    },

    /// The connection failed.
    #[error("the connection failed after {bytes} bytes")]
    Connection {
        /// So many had come.
        bytes: usize,
        /// In what way.
        #[source]
        source: io::Error,
    },
}

/// Reads one object. What follows it in the same piece is dropped: nothing is to follow.
pub(crate) async fn read_object(
    stream: &mut (impl AsyncRead + Unpin),
    within: Duration,
) -> Result<Vec<u8>, ReadError> {
    let mut object = Object::default();
    match timeout(within, fill(stream, &mut object)).await {
        Ok(whole) => whole.map(|()| object.into_bytes()),
        Err(_) => Err(ReadError::TooSlow { bytes: object.len(), within }),
    }
}

async fn fill(stream: &mut (impl AsyncRead + Unpin), object: &mut Object) -> Result<(), ReadError> {
    let mut piece = [0; PIECE];
    loop {
        let bytes = object.len();
        let read = stream.read(&mut piece).await;
        match read.map_err(|source| ReadError::Connection { bytes, source })? {
            0 if bytes == 0 => return Err(ReadError::Nothing),
            0 => return Err(ReadError::Torn { bytes }),
            read => {
                if object.take(&piece[..read])?.is_some() {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Result<Option<usize>, ObjectError> {
        Object::default().take(bytes)
    }

    #[test]
    fn an_object_ends_where_its_json_ends() {
        for (object, after) in [
            ("{}", ""),
            (" \t\r\n{}", "\n"),
            (r#"{"a":{"b":[1,{}]}}"#, r#"{"c":1}"#),
            (r#"{"a":"}{][","b":"\"}","c":"\\"}"#, "}"),
            ("{]", "}"),
        ] {
            assert_eq!(whole(format!("{object}{after}").as_bytes()), Ok(Some(object.len())), "{object}");
        }
        for half in ["", "  ", "{", r#"{"a":"}"#, r#"{"a":"\"#, r#"{"a":"\"}"#, "{[}"] {
            assert_eq!(whole(half.as_bytes()), Ok(None), "{half}");
        }
    }

    #[test]
    fn what_begins_otherwise_is_refused_at_its_first_byte() {
        for (bytes, begins) in
            [(&b"GET / HTTP/1.1"[..], b'G'), (b"[", b'['), (b" \x16\x03", 0x16), (b"\xff", 0xff)]
        {
            assert_eq!(whole(bytes), Err(ObjectError::NotAnObject { begins }));
        }
        let error = ObjectError::NotAnObject { begins: 0x1b }.to_string();
        assert_eq!(error, r"it begins with '\x1b'; accepted: a JSON object, which begins with '{'");
    }

    #[test]
    fn the_last_byte_that_is_accepted_is_the_limit_itself() {
        let of = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
        assert_eq!(whole(of(MAX_BYTES).as_bytes()), Ok(Some(MAX_BYTES)));
        assert_eq!(whole(of(MAX_BYTES + 1).as_bytes()), Err(ObjectError::TooLarge));
        assert_eq!(whole(" ".repeat(MAX_BYTES + 1).as_bytes()), Err(ObjectError::TooLarge));
        assert_eq!(whole("{[".repeat(MAX_BYTES).as_bytes()), Err(ObjectError::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn each_way_in_which_nothing_comes_has_an_error_of_its_own() {
        let within = Duration::from_secs(10);
        let read = async |mut bytes: &[u8]| read_object(&mut bytes, within).await.unwrap_err();
        assert!(matches!(read(b"").await, ReadError::Nothing));
        assert!(matches!(read(b"{\"a\":").await, ReadError::Torn { bytes: 5 }));
        assert!(matches!(read(b"x").await, ReadError::Object(ObjectError::NotAnObject { begins: b'x' })));

        let (mut ours, mut theirs) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut theirs, b"{\"a\"").await.unwrap();
        let error = read_object(&mut ours, within).await.unwrap_err();
        assert_eq!(error.to_string(), "4 bytes and no whole object came within 10s");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_is_for_the_whole_object_and_not_for_each_byte() {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        let dribble = async {
            while tokio::io::AsyncWriteExt::write_all(&mut theirs, b"{").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        };
        let error = tokio::select! {
            read = read_object(&mut ours, Duration::from_secs(10)) => read.unwrap_err(),
            () = dribble => panic!("it was hung up on"),
        };
        assert!(matches!(error, ReadError::TooSlow { bytes: 4, .. }), "{error}");
    }
}
