//! What an instance makes of a message.

use proto::accepts;

use super::super::link::Message;
use super::super::message::{Answer, Hello, Request, is_id, read, write};
use super::super::topics::Topics;

/// What an instance makes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A request for it.
    Asked(Reply),
    /// A hello, which the broker gave to it and to nobody else.
    Greeted(Reply),
    /// It is for another instance.
    Dropped,
    /// It is nothing that can be answered, for this reason.
    NotUnderstood(String),
}

/// What is said, to whom.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) id: String,
    pub(super) topic: String,
    pub(super) bytes: Vec<u8>,
}

/// What the instance with this code makes of a message. `answer` is given the body of a request for it.
pub(super) fn hear(
    own_code: &str,
    topics: &Topics,
    message: &Message,
    answer: impl FnOnce(&str) -> String,
) -> Heard {
    let heard = if message.topic == topics.hello() {
        greeted(own_code, topics, message)
    } else {
        asked(own_code, topics, message, answer)
    };
    heard.unwrap_or_else(Heard::NotUnderstood)
}

fn greeted(own_code: &str, topics: &Topics, message: &Message) -> Result<Heard, String> {
    let Hello { id, reply_to } = read(&message.bytes)?;
    reply(own_code, topics, id, reply_to, String::new()).map(Heard::Greeted)
}

fn asked(
    own_code: &str,
    topics: &Topics,
    message: &Message,
    answer: impl FnOnce(&str) -> String,
) -> Result<Heard, String> {
    let Request { code, id, reply_to, body } = read(&message.bytes)?;
    if !accepts(own_code, &code) {
        return Ok(Heard::Dropped);
    }
    reply(own_code, topics, id, reply_to, answer(&body)).map(Heard::Asked)
}

fn reply(
    own_code: &str,
    topics: &Topics,
    id: String,
    reply_to: String,
    body: String,
) -> Result<Reply, String> {
    if !is_id(&id) {
        return Err(format!("its id has {} bytes; accepted: 1-128", id.len()));
    }
    if !topics.may_reply_to(&reply_to) {
        return Err(format!(
            "its reply_to is no topic of a client of this service; accepted: {}, CLIENT being visible ASCII without /, + and #",
            topics.replies("CLIENT")
        ));
    }
    let answer = Answer { code: own_code.to_owned(), id, body };
    let bytes = write(&answer).map_err(|why| format!("its answer cannot be sent: {why}"))?;
    Ok(Reply { id: answer.id, topic: reply_to, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hears(topic: &str, text: &str) -> Heard {
        let message = Message { topic: topic.to_owned(), bytes: text.into() };
        hear("me", &Topics::parse("jobs").unwrap(), &message, |body| format!("did {body}"))
    }

    fn reply(id: &str, bytes: &str) -> Reply {
        Reply { id: id.to_owned(), topic: "jobs/replies/a".to_owned(), bytes: bytes.into() }
    }

    #[test]
    fn a_request_is_answered_by_the_one_it_is_for_and_dropped_by_all_others() {
        let request = |code: &str| {
            format!(r#"{{"serveruniquecode":"{code}","id":"1","reply_to":"jobs/replies/a","body":"it"}}"#)
        };
        let answer = reply("1", r#"{"serveruniquecode":"me","id":"1","body":"did it"}"#);
        assert_eq!(hears("jobs", &request("me")), Heard::Asked(answer));
        for other in ["you", "ME", "me2", "m", "", " me"] {
            assert_eq!(hears("jobs", &request(other)), Heard::Dropped, "{other}");
        }
    }

    #[test]
    fn a_hello_is_answered_with_the_code_whoever_it_is() {
        let answer = reply("1", r#"{"serveruniquecode":"me","id":"1","body":""}"#);
        assert_eq!(hears("jobs/hello", r#"{"id":"1","reply_to":"jobs/replies/a"}"#), Heard::Greeted(answer));
    }

    #[test]
    fn what_cannot_be_answered_says_why_and_goes_nowhere() {
        let long = "1".repeat(129);
        let big = "x".repeat(65_470);
        for (topic, text, why) in [
            ("jobs", "garbage".to_owned(), "expected value"),
            ("jobs", "{}".to_owned(), "serveruniquecode"),
            (
                "jobs",
                r#"{"serveruniquecode":"me","id":"1","reply_to":"jobs/replies/+"}"#.to_owned(),
                "accepted: jobs/replies/CLIENT",
            ),
            ("jobs", r#"{"serveruniquecode":"me","id":"1","reply_to":"jobs"}"#.to_owned(), "reply_to"),
            (
                "jobs",
                format!(r#"{{"serveruniquecode":"me","id":"{long}","reply_to":"jobs/replies/a"}}"#),
                "its id has 129 bytes",
            ),
            (
                "jobs",
                r#"{"serveruniquecode":"me","id":"","reply_to":"jobs/replies/a"}"#.to_owned(),
                "its id has 0 bytes",
            ),
            (
                "jobs",
                format!(r#"{{"body":"{big}","serveruniquecode":"me","id":"1","reply_to":"jobs/replies/a"}}"#),
                "it has ",
            ),
            ("jobs/hello", r#"{"id":"1","reply_to":"elsewhere"}"#.to_owned(), "reply_to"),
            ("jobs/hello", r#"{"id":"1"}"#.to_owned(), "missing field `reply_to`"),
        ] {
            match hears(topic, &text) {
                Heard::NotUnderstood(told) => assert!(told.contains(why), "{told}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_answer_that_would_be_too_long_is_not_sent() {
        let message = Message {
            topic: "jobs".to_owned(),
            bytes: br#"{"serveruniquecode":"me","id":"1","reply_to":"jobs/replies/a"}"#.to_vec(),
        };
        let heard = hear("me", &Topics::parse("jobs").unwrap(), &message, |_| "x".repeat(70_000));
        assert!(matches!(heard, Heard::NotUnderstood(why) if why.contains("its answer cannot be sent")));
    }
}
