//! The master/normal layout of the old Go framework: what its nodes are called, and what is in them.
//!
//! A service is a directory. Its child `master` is whoever came first, every other child is a normal instance. The value of
//! each is JSON with the keys `serverip`, `serverport`, `username`, `userpwd`, `serveruniquecode` and `weight`: all six, in this
//! order, when it is written; when it is read, one that is missing or `null` has its default, and others are ignored.
//!
//! # Examples
//!
//! ```
//! use proto::NodeData;
//! use proto::master_normal::{Credentials, decode, encode};
//!
//! let data = NodeData::at("127.0.0.1:50000".parse()?).with_code("cacd3aa4");
//! let value = encode(&data, &Credentials::default())?;
//! assert_eq!(
//!     String::from_utf8(value.clone())?,
//!     r#"{"serverip":"127.0.0.1","serverport":50000,"username":"","userpwd":"","serveruniquecode":"cacd3aa4","weight":1}"#
//! );
//! assert_eq!(decode(&value)?, (data, Credentials::default()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Address, DecodeError, EncodeError, Instance, InstanceId, InvalidData, MAX_BYTES, NodeData};

/// What the node of the master is called.
pub const MASTER: &str = "master";

/// What the node of a normal instance is called, before the ten digits that the server chooses. Read is any other name, too.
pub const NORMAL: &str = "normal";

/// A user name and a password that an instance tells its clients. Neither is in any debug output, and nothing here logs or
/// serializes them, but for the node itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user name; empty when there is none.
    pub username: String,
    /// The password; empty when there is none.
    pub userpwd: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| if text.is_empty() { "none" } else { "(not shown)" };
        f.debug_struct("Credentials")
            .field("username", &format_args!("{}", shown(&self.username)))
            .field("userpwd", &format_args!("{}", shown(&self.userpwd)))
            .finish()
    }
}

/// Whether the master and this instance are one process: one that was promoted has both nodes for a moment.
///
/// Processes are told apart by address and unique code, as the old programs do it.
pub fn is_same_process(master: &Instance, instance: &Instance) -> bool {
    let who = |data: &NodeData| (data.address.clone(), data.unique_code.clone());
    who(&master.data) == who(&instance.data)
}

/// The value of a node. When the instance was first registered is not stored in this layout.
///
/// # Errors
///
/// When the data is not valid, has metadata, which this layout cannot store, or takes more than [`MAX_BYTES`].
pub fn encode(data: &NodeData, credentials: &Credentials) -> Result<Vec<u8>, EncodeError> {
    #[derive(Serialize)]
    struct Json<'a> {
        serverip: &'a str,
        serverport: u16,
        username: &'a str,
        userpwd: &'a str,
        serveruniquecode: &'a str,
        weight: u32,
    }

    data.validate()?;
    if !data.metadata.is_empty() {
        return Err(EncodeError::NotInLayout { what: "metadata" });
    }
    let json = Json {
        serverip: data.address.as_ref().map_or("", Address::host),
        serverport: data.address.as_ref().map_or(0, Address::port),
        username: &credentials.username,
        userpwd: &credentials.userpwd,
        serveruniquecode: data.unique_code.as_deref().unwrap_or_default(),
        weight: data.weight,
    };
    let value =
        serde_json::to_vec(&json).expect("strings and numbers under fixed keys can always be written");
    match value.len() {
        bytes if bytes > MAX_BYTES => Err(EncodeError::TooLarge { bytes }),
        _ => Ok(value),
    }
}

/// The data and the credentials in the value of a node. An empty address with port 0 is none, an empty unique code as well.
///
/// # Errors
///
/// As [`decode`](crate::decode) has them for JSON. None repeats anything of the credentials.
pub fn decode(value: &[u8]) -> Result<(NodeData, Credentials), DecodeError> {
    // Values of any kind: what a parser says of a wrong one repeats it, and it may be a password.
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Json {
        serverip: Value,
        serverport: Value,
        username: Value,
        userpwd: Value,
        serveruniquecode: Value,
        weight: Value,
    }

    if value.len() > MAX_BYTES {
        return Err(DecodeError::TooLarge { bytes: value.len() });
    }
    if !value.trim_ascii_start().starts_with(b"{") {
        return Err(DecodeError::Json {
            what: "it does not begin with '{': accepted is an object".to_owned(),
        });
    }
    let json: Json =
        serde_json::from_slice(value).map_err(|error| DecodeError::Json { what: place_of(&error) })?;
    let credentials =
        Credentials { username: text("username", json.username)?, userpwd: text("userpwd", json.userpwd)? };
    let code = text("serveruniquecode", json.serveruniquecode)?;
    let (host, port) = (text("serverip", json.serverip)?, number("serverport", json.serverport, 0)?);
    let address = match (&*host, port) {
        ("", 0) => None,
        _ => Some(Address::new(&host, port).map_err(InvalidData::Address)?),
    };
    let data = NodeData {
        address,
        unique_code: Some(code).filter(|code| !code.is_empty()),
        weight: number("weight", json.weight, NodeData::DEFAULT_WEIGHT)?,
        registered_at: 0,
        metadata: crate::Metadata::default(),
    };
    data.validate()?;
    Ok((data, credentials))
}

/// The instance that a node of this name and value stands for, under the name of its node. The master's id is [`MASTER`].
///
/// # Errors
///
/// What is wrong with the name or the value, in words for an operator, without anything of the credentials.
pub fn instance(name: &str, value: &[u8]) -> Result<(Instance, Credentials), String> {
    let id = InstanceId::parse(name).map_err(|error| error.to_string())?;
    let (data, credentials) = decode(value).map_err(|error| error.to_string())?;
    Ok((Instance { id, data }, credentials))
}

fn text(field: &'static str, value: Value) -> Result<String, DecodeError> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        other => Err(wrong(field, &other, "a text")),
    }
}

fn number<T: TryFrom<u64> + fmt::Display>(
    field: &'static str,
    value: Value,
    default: T,
) -> Result<T, DecodeError> {
    match value {
        Value::Null => Ok(default),
        other => {
            let number = other.as_u64().and_then(|number| T::try_from(number).ok());
            let accepted = || format!("a whole number from 0 to 2^{} - 1", 8 * size_of::<T>());
            number.ok_or_else(|| wrong(field, &other, &accepted()))
        }
    }
}

/// What it is, not what it says.
fn wrong(field: &'static str, value: &Value, accepted: &str) -> DecodeError {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "another number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    DecodeError::Field { field, what: format!("it is {kind}; accepted: {accepted}") }
}

/// Where and in what way it is no JSON: the parser's own words may repeat a value.
fn place_of(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax => "it is not JSON",
        _ => "a key comes twice",
    };
    format!("{what}, at line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> NodeData {
        NodeData::at(address.parse().unwrap())
    }

    fn secret() -> Credentials {
        Credentials { username: "hunter".to_owned(), userpwd: "hunter2".to_owned() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let none = Credentials::default();
        for (data, credentials, json) in [
            (
                at("127.0.0.1:50000").with_code("c").with_weight(7),
                &none,
                r#"{"serverip":"127.0.0.1","serverport":50000,"username":"","userpwd":"","serveruniquecode":"c","weight":7}"#,
            ),
            (
                at("[::1]:80"),
                &secret(),
                r#"{"serverip":"::1","serverport":80,"username":"hunter","userpwd":"hunter2","serveruniquecode":"","weight":1}"#,
            ),
            (
                NodeData::behind_broker("<c>").with_weight(0),
                &none,
                r#"{"serverip":"","serverport":0,"username":"","userpwd":"","serveruniquecode":"<c>","weight":0}"#,
            ),
        ] {
            let value = encode(&data, credentials).unwrap();
            assert_eq!(String::from_utf8(value.clone()).unwrap(), json);
            assert_eq!(decode(&value).unwrap(), (data, credentials.clone()));
        }
    }

    #[test]
    fn what_is_missing_has_its_default_and_what_is_unknown_is_ignored() {
        for (json, data) in [
            (r#"{"serverip":"h","serverport":1}"#, at("h:1")),
            (r#" {"serveruniquecode":"c","weight":null,"zone":{"a":[1,2]}}"#, NodeData::behind_broker("c")),
            // As Go writes what HTML would read as its own.
            (
                "{\"serverip\":\"h\",\"serverport\":1,\"serveruniquecode\":\"\\u003ca\\u0026b\\u003e\"}\n",
                at("h:1").with_code("<a&b>"),
            ),
        ] {
            assert_eq!(decode(json.as_bytes()).unwrap(), (data, Credentials::default()), "{json}");
        }
    }

    #[test]
    fn each_refusal_says_what_is_wrong_and_nothing_of_a_password() {
        let large = format!(r#"{{"userpwd":"hunter2{}"}}"#, "x".repeat(MAX_BYTES));
        for (json, message) in [
            ("", "JSON: it does not begin with '{': accepted is an object"),
            ("\"hunter2\"", "JSON: it does not begin with '{': accepted is an object"),
            ("{\"userpwd\":\"hunter2", "JSON: it ends too early, at line 1 column 19"),
            ("{\"userpwd\":hunter2}", "JSON: it is not JSON, at line 1 column 12"),
            ("{\"userpwd\":\"hunter2\"} hunter2", "JSON: it is not JSON, at line 1 column 23"),
            (r#"{"userpwd":"hunter2","userpwd":"hunter2"}"#, "JSON: a key comes twice, at line 1 column 30"),
            (r#"{"userpwd":["hunter2"]}"#, "userpwd: it is a list; accepted: a text"),
            (r#"{"username":17}"#, "username: it is another number; accepted: a text"),
            (
                r#"{"serverip":"h","serverport":"hunter2"}"#,
                "serverport: it is a text; accepted: a whole number from 0 to 2^16 - 1",
            ),
            (
                r#"{"serverip":"h","serverport":65536}"#,
                "serverport: it is another number; accepted: a whole number from 0 to 2^16 - 1",
            ),
            (
                r#"{"serveruniquecode":"c","weight":-1}"#,
                "weight: it is another number; accepted: a whole number from 0 to 2^32 - 1",
            ),
            (r#"{"serverip":"h"}"#, "invalid node data: server_ip, server_port: \"h\" is not an address"),
            (r#"{"serverport":1}"#, "invalid node data: server_ip, server_port: \"\" is not an address"),
            ("{}", "invalid node data: there is neither an address"),
            (&large, "the value has"),
        ] {
            let error = instance("normal0000000001", json.as_bytes()).unwrap_err();
            assert!(error.starts_with(message), "{json:.60}: {error}");
            assert!(!error.contains("hunter"), "{error}");
        }
        assert!(instance("..", b"{}").unwrap_err().contains("cannot be a name"));
        let tagged = at("h:1").with_metadata("zone", "a");
        let error = encode(&tagged, &Credentials::default()).unwrap_err();
        assert_eq!(error.to_string(), "this layout cannot store metadata");
        assert!(!format!("{:?}", secret()).contains("hunter"));
    }

    #[test]
    fn a_process_is_known_by_its_address_and_code() {
        let of = |data| Instance { id: InstanceId::parse("x").unwrap(), data };
        let master = of(at("h:1").with_code("c"));
        for (other, same) in [
            (at("h:1").with_code("c").with_weight(9), true),
            (at("h:1").with_code("d"), false),
            (at("h:2").with_code("c"), false),
            (at("h:1"), false),
        ] {
            assert_eq!(is_same_process(&master, &of(other)), same);
        }
    }
}
