//! What goes over the topics of a service, in JSON.
//!
//! ```text
//! request  {"serveruniquecode":"<code of the instance>","id":"<made by the client>","reply_to":"<topic>","body":"…"}
//! hello    {"id":"<made by the client>","reply_to":"<topic>"}
//! answer   {"serveruniquecode":"<code of who answers>","id":"<the same>","body":"…"}
//! ```
//!
//! An answer to a hello has an empty body. A body may be left out; other fields are ignored.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::output::brief;

/// The most bytes of a message.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024;

/// The most bytes of an id.
const MAX_ID: usize = 128;

/// Something to be done by the instance with this code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    #[serde(rename = "serveruniquecode")]
    pub(crate) code: String,
    pub(crate) id: String,
    pub(crate) reply_to: String,
    #[serde(default)]
    pub(crate) body: String,
}

/// Asks anybody for its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) id: String,
    pub(crate) reply_to: String,
}

/// What the instance with this code says to the request or the hello with this id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    #[serde(rename = "serveruniquecode")]
    pub(crate) code: String,
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) body: String,
}

/// Reads a message; the error says what is wrong, for people.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    if bytes.len() > MAX_MESSAGE {
        return Err(format!("it has {} bytes; accepted: {MAX_MESSAGE}", bytes.len()));
    }
    serde_json::from_slice(bytes).map_err(|error| brief(&error.to_string()))
}

/// Writes a message, if it is not too long for one.
pub(crate) fn write(message: &impl Serialize) -> Result<Vec<u8>, String> {
    let bytes = serde_json::to_vec(message).map_err(|error| error.to_string())?;
    match bytes.len() {
        long if long > MAX_MESSAGE => Err(format!("it would have {long} bytes; accepted: {MAX_MESSAGE}")),
        _ => Ok(bytes),
    }
}

/// Whether it can be the id of a request or a hello.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hostile::{is_brief, line};

    const GOOD: [&str; 3] = [
        r#"{"serveruniquecode":"c","id":"1","reply_to":"jobs/replies/a","body":"b"}"#,
        r#"{"id":"1","reply_to":"jobs/replies/a"}"#,
        r#"{"serveruniquecode":"c","id":"1","body":"b"}"#,
    ];

    #[test]
    fn messages_are_what_is_agreed_upon() {
        let text = |text: &str| text.to_owned();
        let request =
            Request { code: text("c"), id: text("1"), reply_to: text("jobs/replies/a"), body: text("b") };
        let hello = Hello { id: text("1"), reply_to: text("jobs/replies/a") };
        let answer = Answer { code: text("c"), id: text("1"), body: text("b") };
        let written = [write(&request), write(&hello), write(&answer)];
        assert_eq!(written.map(|bytes| String::from_utf8(bytes.unwrap()).unwrap()), GOOD);
        assert_eq!(read(GOOD[0].as_bytes()), Ok(request));
        assert_eq!(read(GOOD[1].as_bytes()), Ok(hello));
        assert_eq!(read(GOOD[2].as_bytes()), Ok(answer));
        let more = br#"{"x":[{}],"id":"1","serveruniquecode":"c"}"#;
        assert_eq!(read(more), Ok(Answer { code: text("c"), id: text("1"), body: String::new() }));
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_reason() {
        let long = format!(r#"{{"id":"1","serveruniquecode":"c","body":"{}"}}"#, "b".repeat(MAX_MESSAGE));
        let deep = format!(r#"{{"id":"1","serveruniquecode":"c","body":{}"#, "[".repeat(60_000));
        for (bytes, why) in [
            (&b""[..], "EOF"),
            (b"hello", "expected value"),
            (b"\xff\xfe", "expected value"),
            (b"{}", "missing field `serveruniquecode`"),
            (br#"{"serveruniquecode":"c"}"#, "missing field `id`"),
            (br#"{"serveruniquecode":7,"id":"1"}"#, "expected a string"),
            (br#"{"serveruniquecode":"c","id":"1"} x"#, "trailing characters"),
            (br#"{"serveruniquecode":"c","id":"1","id":"2"}"#, "duplicate field"),
            (deep.as_bytes(), "invalid type: sequence"),
            (long.as_bytes(), "accepted: 65536"),
        ] {
            let refused = read::<Answer>(bytes).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        let answer = Answer { code: "c".to_owned(), id: "1".to_owned(), body: "b".repeat(MAX_MESSAGE) };
        assert!(write(&answer).unwrap_err().contains("accepted: 65536"));
        assert!(is_id("1") && is_id(&"1".repeat(128)) && !is_id("") && !is_id(&"1".repeat(129)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_refused_briefly(bytes in line(&GOOD)) {
            let refused = [read::<Request>(&bytes).err(), read::<Hello>(&bytes).err(), read::<Answer>(&bytes).err()];
            prop_assert!(refused.iter().flatten().all(|why| is_brief(why)), "{refused:?}");
        }
    }
}
