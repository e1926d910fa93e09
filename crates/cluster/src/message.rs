//! What a joiner says to a member, and what it answers.

use std::fmt;

use proto::Address;
use serde::Serialize;

use crate::Node;
use crate::fields::{End, message, object, party};

/// What a joiner says. Members are free to ignore it.
const PLEASE: &str = "please let me join the cluster";

/// How the message of an answer begins that lets nobody in. The format has no other place for it.
const REFUSED: &str = "refused: ";

/// What a joiner sends: `{"source":…,"dest":…,"message":"…"}`.
///
/// `source` is the joiner, `dest` whom it connects to, with the id -1, for it does not know that one yet.
///
/// # Examples
///
/// ```
/// let request = cluster::Request::parse(
///     br#"{"source":{"nodeId":82381143,"nodeIpAddr":"127.0.0.1/8","Port":"8002"},
///          "dest":{"nodeId":-1,"nodeIpAddr":"127.0.0.1","Port":"8001"},
///          "message":"hello"}"#,
/// )?;
/// assert_eq!(request.from.to_string(), "node 82381143 at 127.0.0.1:8002");
/// # Ok::<(), cluster::MessageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The joiner.
    pub from: Node,
    /// Where it sent the request.
    pub to: Address,
    /// Some words of it.
    pub message: String,
}

/// What a member answers: a [`Request`] with the roles swapped. `dest` is the joiner as it described itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The member.
    pub from: Node,
    /// The joiner.
    pub to: Node,
    /// Some words of the member, or why it lets nobody in.
    pub message: String,
}

impl Request {
    /// The request of `joiner` to whoever listens at `to`.
    pub fn new(joiner: &Node, to: &Address) -> Self {
        Self { from: joiner.clone(), to: to.clone(), message: PLEASE.to_owned() }
    }

    /// Reads a request. Unknown fields are ignored, a message may be missing.
    ///
    /// # Errors
    ///
    /// When it is not JSON, or a field is missing or has a value that is not accepted.
    pub fn parse(json: &[u8]) -> Result<Self, MessageError> {
        let fields = object(json)?;
        let to = party(&fields, End::Dest)?;
        // Its id is -1, or that of a member which was known before: neither changes anything.
        if to.id != Some(-1) {
            to.node_id()?;
        }
        Ok(Self {
            from: party(&fields, End::Source)?.node()?,
            to: to.address.clone(),
            message: message(&fields)?,
        })
    }

    /// The object on a line of its own.
    pub fn line(&self) -> String {
        let to = WireNode { id: -1, ip_addr: self.to.host().to_owned(), port: self.to.port().to_string() };
        line(WireNode::from(&self.from), to, &self.message)
    }
}

impl Answer {
    /// Says to the joiner that it is a member now.
    pub fn welcome(member: &Node, joiner: &Node) -> Self {
        Self { from: member.clone(), to: joiner.clone(), message: "welcome to the cluster".to_owned() }
    }

    /// Says to the joiner that it is not let in.
    pub fn refuse(member: &Node, joiner: &Node, why: impl fmt::Display) -> Self {
        Self { from: member.clone(), to: joiner.clone(), message: format!("{REFUSED}{why}") }
    }

    /// Why nobody was let in; `None` when the joiner is a member.
    pub fn refusal(&self) -> Option<&str> {
        self.message.strip_prefix(REFUSED)
    }

    /// Reads an answer, as [`Request::parse`] does.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn parse(json: &[u8]) -> Result<Self, MessageError> {
        let fields = object(json)?;
        Ok(Self {
            from: party(&fields, End::Source)?.node()?,
            to: party(&fields, End::Dest)?.node()?,
            message: message(&fields)?,
        })
    }

    /// The object on a line of its own.
    pub fn line(&self) -> String {
        line(WireNode::from(&self.from), WireNode::from(&self.to), &self.message)
    }
}

/// Why an object is not a message. Repeats at most a little of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// It is not JSON.
    #[error("{what}, at line {line} column {column}; accepted: one JSON object")]
    NotJson {
        /// In what way.
        what: &'static str,
        /// Where, from 1.
        line: usize,
        /// Where in the line.
        column: usize,
    },

    /// A field cannot be used.
    #[error("{field}: {what}; accepted: {accepted}")]
    Field {
        /// Which one, as in `source.nodeId`.
        field: String,
        /// What is wrong with it.
        what: String,
        /// What would be right.
        accepted: String,
    },
}

/// The keys in the order in which they are written.
#[derive(Serialize)]
struct Wire<'a> {
    source: WireNode,
    dest: WireNode,
    message: &'a str,
}

#[derive(Serialize)]
struct WireNode {
    #[serde(rename = "nodeId")]
    id: i64,
    #[serde(rename = "nodeIpAddr")]
    ip_addr: String,
    #[serde(rename = "Port")]
    port: String,
}

impl From<&Node> for WireNode {
    fn from(node: &Node) -> Self {
        Self { id: node.id().into(), ip_addr: node.ip_addr(), port: node.address().port().to_string() }
    }
}

fn line(source: WireNode, dest: WireNode, message: &str) -> String {
    let json = serde_json::to_string(&Wire { source, dest, message });
    json.expect("strings and numbers under fixed keys can always be written") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, address: &str) -> Node {
        Node::new(id, address.parse().unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_exactly_what_old_programs_read() {
        let (joiner, member) =
            (node(82_381_143, "127.0.0.1:8002").with_prefix(Some(8)), node(7, "127.0.0.1:8001"));
        assert_eq!(
            Request::new(&joiner, member.address()).line(),
            "{\"source\":{\"nodeId\":82381143,\"nodeIpAddr\":\"127.0.0.1/8\",\"Port\":\"8002\"},\
             \"dest\":{\"nodeId\":-1,\"nodeIpAddr\":\"127.0.0.1\",\"Port\":\"8001\"},\
             \"message\":\"please let me join the cluster\"}\n"
        );
        assert_eq!(
            Answer::welcome(&member, &joiner).line(),
            "{\"source\":{\"nodeId\":7,\"nodeIpAddr\":\"127.0.0.1\",\"Port\":\"8001\"},\
             \"dest\":{\"nodeId\":82381143,\"nodeIpAddr\":\"127.0.0.1/8\",\"Port\":\"8002\"},\
             \"message\":\"welcome to the cluster\"}\n"
        );
    }

    #[test]
    fn only_an_answer_that_begins_so_is_a_refusal() {
        let (joiner, member) = (node(1, "a:1"), node(2, "b:2"));
        assert_eq!(Answer::refuse(&member, &joiner, "no").refusal(), Some("no"));
        for message in ["", "welcome", "not refused: no"] {
            let answer = Answer { message: message.to_owned(), ..Answer::welcome(&member, &joiner) };
            assert_eq!(answer.refusal(), None);
        }
    }

    #[test]
    fn other_spellings_of_a_port_are_read_and_what_is_unknown_is_ignored() {
        for json in [
            r#"{"source":{"nodeId":1,"nodeIpAddr":"a","Port":"2"},"dest":{"nodeId":-1,"nodeIpAddr":"b","Port":"3"}}"#,
            r#"{"source":{"nodeId":1,"nodeIpAddr":"a","port":2},"dest":{"nodeId":-1,"nodeIpAddr":"b","Port":3}}"#,
            r#" {"message":null,"zone":[{}],"dest":{"port":"3","nodeId":5,"nodeIpAddr":"b","x":0},
                "source":{"nodeId":1,"nodeIpAddr":"a","port":"2"}}"#,
        ] {
            let request = Request::parse(json.as_bytes()).unwrap();
            assert_eq!((request.from, request.to.to_string().as_str()), (node(1, "a:2"), "b:3"), "{json}");
            assert_eq!(request.message, "");
        }
    }

    #[test]
    fn each_refusal_names_the_field_and_says_what_is_accepted() {
        let good = r#"{"nodeId":1,"nodeIpAddr":"a","Port":"2"}"#;
        let with = |source: &str| format!(r#"{{"source":{source},"dest":{good},"message":"m"}}"#);
        let long = "x".repeat(60_000);
        let id = "; accepted: a whole number from 0 to 99999999";
        let ip = "; accepted: an IP address or a host name, an IP address with or without a prefix length";
        let port = "; accepted: a number from 1 to 65535, as a text or not, as Port or port";
        let party = "; accepted: an object with nodeId, nodeIpAddr and Port";
        for (json, told) in [
            (String::new(), "it ends too early, at line 1 column 0; accepted: one JSON object".to_owned()),
            (
                "[]".to_owned(),
                "it is not an object, at line 1 column 0; accepted: one JSON object".to_owned(),
            ),
            ("{x}".to_owned(), "it is not JSON, or nested too deep, at line 1 column 2".to_owned()),
            ("{}".to_owned(), format!("dest: it is missing{party}")),
            (format!(r#"{{"dest":{good}}}"#), format!("source: it is missing{party}")),
            (with("7"), format!("source: it is 7{party}")),
            (with(r#"{"nodeIpAddr":"a","Port":"2"}"#), format!("source.nodeId: it is missing{id}")),
            (with(r#"{"nodeId":-1,"nodeIpAddr":"a","Port":"2"}"#), format!("source.nodeId: it is -1{id}")),
            (with(r#"{"nodeId":1.5,"nodeIpAddr":"a","Port":"2"}"#), format!("source.nodeId: it is 1.5{id}")),
            (
                with(r#"{"nodeId":100000000,"nodeIpAddr":"a","Port":"2"}"#),
                format!("source.nodeId: it is 100000000{id}"),
            ),
            (with(r#"{"nodeId":1,"Port":"2"}"#), format!("source.nodeIpAddr: it is missing{ip}")),
            (
                with(r#"{"nodeId":1,"nodeIpAddr":"127.0.0.1/33","Port":"2"}"#),
                format!("source.nodeIpAddr: it is \"127.0.0.1/33\"{ip}"),
            ),
            (
                with(r#"{"nodeId":1,"nodeIpAddr":"name/8","Port":"2"}"#),
                format!("source.nodeIpAddr: it is \"name/8\"{ip}"),
            ),
            (
                with(r#"{"nodeId":1,"nodeIpAddr":"a\u001b","Port":"2"}"#),
                format!(r#"source.nodeIpAddr: it is "a\u{{1b}}"{ip}"#),
            ),
            (with(r#"{"nodeId":1,"nodeIpAddr":"a"}"#), format!("source.Port: it is missing{port}")),
            (with(r#"{"nodeId":1,"nodeIpAddr":"a","Port":"0"}"#), format!("source.Port: it is \"0\"{port}")),
            (
                with(r#"{"nodeId":1,"nodeIpAddr":"a","port":65536}"#),
                format!("source.Port: it is 65536{port}"),
            ),
            (
                with(&format!(r#"{{"nodeId":1,"nodeIpAddr":"a","Port":"{long}"}}"#)),
                format!("source.Port: it is \"{}\"… (60000 bytes){port}", "x".repeat(40)),
            ),
        ] {
            let error = Request::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(&told), "{json:.80}: {error}");
            assert!(error.len() < 400 && !error.contains(char::is_control), "{error}");
        }
        let deaf = format!(r#"{{"source":{good},"dest":{good},"message":7}}"#);
        assert_eq!(
            Answer::parse(deaf.as_bytes()).unwrap_err().to_string(),
            "message: it is 7; accepted: a text"
        );
        let nobody = format!(r#"{{"source":{good},"dest":{{"nodeId":-1,"nodeIpAddr":"b","Port":"3"}}}}"#);
        assert!(
            Answer::parse(nobody.as_bytes()).unwrap_err().to_string().starts_with("dest.nodeId: it is -1")
        );
    }
}
