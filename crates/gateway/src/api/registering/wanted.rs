//! What a program says of itself when it registers.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use proto::NodeData;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::Problem;

/// How long a lease lasts for which nothing else was asked, in seconds.
const TTL: u64 = 30;

/// How long a lease may last, in seconds.
const LONGEST_TTL: u64 = 600;

/// What may stand in a registration.
const FIELDS: [&str; 7] =
    ["server_ip", "server_port", "server_unique_code", "weight", "registered_at", "metadata", "ttl"];

/// The most characters of a parser's message that are passed on: it may repeat a whole value.
const MOST_SHOWN: usize = 300;

/// What is to be registered, and for how long.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) data: NodeData,
    pub(super) ttl: Duration,
}

impl Wanted {
    /// Reads the body of a registration.
    ///
    /// Nodes that others wrote may have fields that we do not know. Who registers here is told instead: a name that is misspelt would
    /// otherwise give an instance another weight, or another time, than its program believes.
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        let Beside { ttl } = serde_json::from_slice(body).map_err(|error| {
            let shown: String = error.to_string().chars().take(MOST_SHOWN).collect();
            Problem::bad_request(shown)
        })?;
        let seconds = match ttl {
            None | Some(Value::Null) => Some(TTL),
            Some(ttl) => ttl.as_u64().filter(|seconds| (1..=LONGEST_TTL).contains(seconds)),
        };
        let refuse = || {
            Problem::bad_request(format_args!("ttl: accepted: a whole number of seconds, 1 to {LONGEST_TTL}"))
        };
        let ttl = Duration::from_secs(seconds.ok_or_else(refuse)?);
        let data = NodeData::from_json(body).map_err(Problem::bad_request)?;
        Ok(Self { data, ttl })
    }
}

/// What stands beside the node data. All names were looked at.
struct Beside {
    ttl: Option<Value>,
}

impl<'de> Deserialize<'de> for Beside {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Beside;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of node data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Beside, A::Error> {
        let (mut ttl, mut seen) = (None, Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            let Some(field) = FIELDS.into_iter().find(|field| *field == name) else {
                let shown: String = name.chars().take(40).collect();
                return Err(de::Error::custom(format_args!(
                    "{shown:?} is no field of a registration; accepted: {}; whatever else is worth knowing goes into metadata",
                    FIELDS.join(", ")
                )));
            };
            if seen.contains(&field) {
                return Err(de::Error::custom(format_args!("{field} comes twice; accepted: once")));
            }
            seen.push(field);
            match field {
                "ttl" => ttl = Some(map.next_value()?),
                "metadata" => {
                    map.next_value::<Keys>()?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Beside { ttl })
    }
}

/// Metadata of which no key comes twice. What else may be wrong with it is told by those who read it.
struct Keys;

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(pairs) = Option::<Pairs>::deserialize(deserializer)? else { return Ok(Self) };
        let mut keys = HashSet::with_capacity(pairs.0.len());
        match pairs.0.iter().find(|key| !keys.insert(&**key)) {
            None => Ok(Self),
            Some(key) => {
                let shown: String = key.chars().take(40).collect();
                Err(de::Error::custom(format_args!("metadata: {shown:?} comes twice; accepted: once")))
            }
        }
    }
}

/// The keys of an object, in order.
struct Pairs(Vec<String>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachKey)
    }
}

struct EachKey;

impl<'de> Visitor<'de> for EachKey {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("metadata, an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = map.next_key()? {
            map.next_value::<IgnoredAny>()?;
            keys.push(key);
        }
        Ok(Pairs(keys))
    }
}
