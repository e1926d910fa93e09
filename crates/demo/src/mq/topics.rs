//! The topics of a service, and where answers may go.

use proto::ServiceName;

/// The most bytes of a service's topic: with what stands before and behind it, it is far from the most that a broker takes.
const MAX_TOPIC: usize = 255;

/// The most bytes of what stands behind `replies/`.
const MAX_CLIENT: usize = 128;

/// The group that shares the hellos of a service: each is received by one of its instances.
const GROUP: &str = "headkeeper";

/// The level below the topic of a service where hellos go.
const HELLO: &str = "hello";

/// The level below the topic of a service where answers go, each client having one below it.
const REPLIES: &str = "replies";

/// The topics of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topics(String);

impl Topics {
    /// What a service uses whose topic is this.
    pub(crate) fn parse(topic: &str) -> Result<Self, String> {
        // Below a service's own topic these are taken: what is sent there its instances hear as hellos, and its clients as answers.
        let is_level = |level: &str| !level.is_empty() && level != REPLIES && is_plain(level);
        let is_hello = topic.rsplit('/').next() == Some(HELLO);
        if topic.len() <= MAX_TOPIC && !topic.starts_with('$') && !is_hello && topic.split('/').all(is_level)
        {
            return Ok(Self(topic.to_owned()));
        }
        Err(format!(
            "accepted: a topic of 1-{MAX_TOPIC} bytes, as in jobs or berlin/jobs: no empty level and none that is called {REPLIES}, no +, # or character that is none, no $ at its beginning, and no {HELLO} as its last level"
        ))
    }

    /// The topic that is named like the service.
    pub(crate) fn of(service: &ServiceName) -> Result<Self, String> {
        Self::parse(service.as_str()).map_err(|refused| {
            format!("the name of the service cannot be a topic: say another one by --topic; {refused}")
        })
    }

    /// Where requests go, which every instance receives.
    pub(crate) fn requests(&self) -> String {
        self.0.clone()
    }

    /// Where hellos go.
    pub(crate) fn hello(&self) -> String {
        format!("{}/{HELLO}", self.0)
    }

    /// What an instance subscribes to so that each hello is received by one of them.
    pub(crate) fn shared_hello(&self) -> String {
        format!("$share/{GROUP}/{}", self.hello())
    }

    /// Where the answers to this client go.
    pub(crate) fn replies(&self, client: &str) -> String {
        format!("{}/{REPLIES}/{client}", self.0)
    }

    /// Whether answers may be sent there: to a client of this service and nowhere else, or anybody could make an instance say
    /// things on any topic. A broker may hang up on whoever sends to a topic with a character that it does not like, and which
    /// ones these are brokers do not agree on: what stands for the client is visible ASCII.
    pub(crate) fn may_reply_to(&self, topic: &str) -> bool {
        let client = topic.strip_prefix(&*self.0).and_then(|rest| rest.strip_prefix("/replies/"));
        client.is_some_and(|client| {
            (1..=MAX_CLIENT).contains(&client.len())
                && client.bytes().all(|byte| byte.is_ascii_graphic() && !b"+#/".contains(&byte))
        })
    }
}

/// Whether it stands for itself in a topic.
fn is_plain(text: &str) -> bool {
    // The last two of every plane are no characters, like those of the block.
    let is_none = |c: char| matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    !text.contains(|c: char| matches!(c, '+' | '#' | '\u{feff}' | '\u{fffd}') || c.is_control() || is_none(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_levels_that_stand_for_themselves() {
        for topic in
            ["jobs", "berlin/jobs", "größe", "a$b", "hello/jobs", "hello2", "jobs/replies2", &"t".repeat(255)]
        {
            assert_eq!(Topics::parse(topic).unwrap().requests(), topic);
        }
        for topic in [
            "",
            "/jobs",
            "jobs/",
            "a//b",
            "jobs/#",
            "+",
            "a+b",
            "$SYS",
            "a\0b",
            "a\nb",
            "a\u{fdd0}",
            "a\u{fdef}",
            "a\u{fffe}",
            "a\u{ffff}",
            "a\u{1fffe}",
            "a\u{10ffff}",
            "hello",
            "jobs/hello",
            "replies",
            "jobs/replies",
            "jobs/replies/c1",
            "replies/jobs",
            &"t".repeat(256),
        ] {
            assert!(Topics::parse(topic).unwrap_err().contains("accepted"), "{topic:?}");
        }
        let service = |name| Topics::of(&ServiceName::parse(name).unwrap());
        assert_eq!(service("jobs").unwrap(), Topics::parse("jobs").unwrap());
        assert!(service("jobs+").unwrap_err().contains("--topic"));
        assert!(service("$jobs").is_err());
    }

    #[test]
    fn every_instance_hears_requests_and_one_hears_a_hello() {
        let topics = Topics::parse("berlin/jobs").unwrap();
        assert_eq!(topics.requests(), "berlin/jobs");
        assert_eq!(topics.hello(), "berlin/jobs/hello");
        assert_eq!(topics.shared_hello(), "$share/headkeeper/berlin/jobs/hello");
        assert_eq!(topics.replies("c1"), "berlin/jobs/replies/c1");
    }

    #[test]
    fn answers_go_to_clients_of_the_service_alone() {
        let topics = Topics::parse("jobs").unwrap();
        for topic in [topics.replies("c1"), topics.replies(&"c".repeat(128)), topics.replies("!-1_2~")] {
            assert!(topics.may_reply_to(&topic), "{topic}");
        }
        let long = topics.replies(&"c".repeat(129));
        for topic in [
            "",
            "jobs",
            "jobs/hello",
            "jobs/replies",
            "jobs/replies/",
            "jobs/replies/+",
            "jobs/replies/#",
            "jobs/replies/a/b",
            "jobs/replies/a/",
            "jobs/replies/a\0",
            "jobs/replies/a\n",
            "jobs/replies/a b",
            "jobs/replies/a\x7f",
            "jobs/replies/größe",
            "jobs/replies/a\u{fdd0}",
            "jobs/replies/a\u{fdef}",
            "jobs/replies/a\u{fffe}",
            "jobs/replies/a\u{ffff}",
            "jobs/replies/a\u{1fffe}",
            "jobs/replies/a\u{10ffff}",
            "jobs2/replies/a",
            "job/replies/a",
            "/jobs/replies/a",
            "x/jobs/replies/a",
            "$SYS/replies/a",
            &long,
        ] {
            assert!(!topics.may_reply_to(topic), "{topic}");
        }
    }
}
