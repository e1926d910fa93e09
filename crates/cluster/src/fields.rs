//! Reads the fields of a message, and says of each what is wrong with it.

use std::net::IpAddr;

use proto::Address;
use serde_json::{Map, Value};

use crate::node::longest_prefix;
use crate::text::quoted;
use crate::{MAX_ID, MessageError, Node};

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Source,
    Dest,
}

impl End {
    fn key(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Dest => "dest",
        }
    }
}

/// One end of a message: its id was not looked at yet.
pub(crate) struct Party {
    end: End,
    pub(crate) id: Option<i64>,
    shown: String,
    pub(crate) address: Address,
    prefix: Option<u8>,
}

impl Party {
    pub(crate) fn node_id(&self) -> Result<u32, MessageError> {
        let id = self.id.and_then(|id| u32::try_from(id).ok()).filter(|id| *id <= MAX_ID);
        let or = match self.end {
            End::Source => "",
            End::Dest => ", or -1 in a request",
        };
        id.ok_or_else(|| MessageError::Field {
            field: format!("{}.nodeId", self.end.key()),
            what: self.shown.clone(),
            accepted: format!("a whole number from 0 to {MAX_ID}{or}"),
        })
    }

    pub(crate) fn node(self) -> Result<Node, MessageError> {
        let node = Node::new(self.node_id()?, self.address).expect("the id was looked at");
        Ok(node.with_prefix(self.prefix))
    }
}

pub(crate) fn object(json: &[u8]) -> Result<Map<String, Value>, MessageError> {
    // The parser's own words may repeat a value of any length.
    let refused = |error: &serde_json::Error| MessageError::NotJson {
        what: match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Data => "it is not an object",
            _ => "it is not JSON, or nested too deep",
        },
        line: error.line(),
        column: error.column(),
    };
    serde_json::from_slice(json).map_err(|error| refused(&error))
}

pub(crate) fn party(fields: &Map<String, Value>, end: End) -> Result<Party, MessageError> {
    let refused = |field: &str, value: Option<&Value>, accepted: &str| MessageError::Field {
        field: format!("{}{field}", end.key()),
        what: in_words(value),
        accepted: accepted.to_owned(),
    };
    let Some(Value::Object(party)) = fields.get(end.key()) else {
        return Err(refused("", fields.get(end.key()), "an object with nodeId, nodeIpAddr and Port"));
    };
    let (host, prefix) = party.get("nodeIpAddr").and_then(host).ok_or_else(|| {
        let accepted = "an IP address or a host name, an IP address with or without a prefix length";
        refused(".nodeIpAddr", party.get("nodeIpAddr"), accepted)
    })?;
    let given = party.get("Port").or_else(|| party.get("port"));
    let address = given.and_then(port).and_then(|port| Address::new(host, port).ok());
    let address = address.ok_or_else(|| {
        refused(".Port", given, "a number from 1 to 65535, as a text or not, as Port or port")
    })?;
    let id = party.get("nodeId");
    Ok(Party { end, id: id.and_then(Value::as_i64), shown: in_words(id), address, prefix })
}

/// The host, and the prefix length behind it.
fn host(value: &Value) -> Option<(&str, Option<u8>)> {
    let text = value.as_str()?;
    let (host, prefix) = match text.split_once('/') {
        None => (text, None),
        Some((host, digits)) => {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let prefix: u8 = if plain { digits.parse().ok()? } else { return None };
            let ip: IpAddr = host.parse().ok()?;
            if longest_prefix(ip) < prefix {
                return None;
            }
            (host, Some(prefix))
        }
    };
    // Any port will do to see whether there is such a host.
    Address::new(host, 1).is_ok().then_some((host, prefix))
}

fn port(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
            if plain { text.parse().ok() } else { None }
        }
        other => other.as_u64().and_then(|port| port.try_into().ok()),
    }
}

pub(crate) fn message(fields: &Map<String, Value>) -> Result<String, MessageError> {
    match fields.get("message") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        other => Err(MessageError::Field {
            field: "message".to_owned(),
            what: in_words(other),
            accepted: "a text".to_owned(),
        }),
    }
}

/// A value in few words.
fn in_words(value: Option<&Value>) -> String {
    match value {
        None => "it is missing".to_owned(),
        Some(Value::String(text)) => format!("it is {}", quoted(text)),
        Some(Value::Array(_)) => "it is a list".to_owned(),
        Some(Value::Object(_)) => "it is an object".to_owned(),
        Some(short) => format!("it is {short}"),
    }
}
