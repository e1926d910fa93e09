//! Node data as bytes in ZooKeeper: two magic bytes, one version byte, the payload of that version; or JSON.
//!
//! ```text
//! C1 9D 01 payload      version 1: the payload is bincode 2, standard configuration, of the fields in this order:
//!                       server_ip            option of string      server_port    option of u16
//!                       server_unique_code   option of string      weight         u32
//!                       registered_at        u64                   metadata       map of string to string
//! 7B …                  JSON, for it begins with '{': the same names, see below
//! ```
//!
//! The magic bytes are no text: `C1` occurs in no UTF-8 and in no MessagePack, and `9D` is no ASCII. A value is 64 KiB
//! at most, which is checked before anything is decoded. The payload must be used up, for a newer and longer one would
//! otherwise be read as an older one, silently.
//!
//! # Who reads whom
//!
//! "Old" is a release that knows the versions up to n, "new" one that knows n+1 too.
//!
//! | | written by old: version n | written by new: version n+1 | written by anybody: JSON |
//! | --- | --- | --- | --- |
//! | **read by old** | read | refused with [`DecodeError::NewerVersion`]: the node is reported and left out, its neighbours are served | read; fields that it does not know are ignored |
//! | **read by new** | read by the code for version n, which stays; fields that came later have their defaults | read | read; fields that are missing have their defaults |
//!
//! So a version is introduced in two releases: the first reads it, the next one writes it, once no older reader runs.
//! A field that old readers may do without is a key of `metadata` and needs no version. An update by an old program of
//! a node that a new one wrote cannot happen: each process writes only its own node, and whole.

use bincode::config::Config;
use bincode::error::DecodeError as PayloadError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::node_data::Fields;
use crate::text::shortened;
use crate::{Address, DecodeError, EncodeError, MAX_BYTES, Metadata, NodeData};

/// What every value begins with that is not JSON.
pub const MAGIC: [u8; 2] = [0xC1, 0x9D];

/// Room for most values, so that it need not grow again and again while one is written.
const USUAL_BYTES: usize = 128;

/// The version that is written, and the newest that is read.
pub const VERSION: u8 = 1;

/// Encodes node data in the newest version.
///
/// # Errors
///
/// When the data is not valid, or takes more than 64 KiB.
///
/// # Examples
///
/// ```
/// let data = proto::NodeData::at("127.0.0.1:8897".parse()?);
/// let bytes = proto::encode(&data)?;
/// assert_eq!(proto::decode(&bytes)?, data);
/// assert_eq!(proto::decode(br#"{"server_ip":"127.0.0.1","server_port":8897}"#)?, data);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode(data: &NodeData) -> Result<Vec<u8>, EncodeError> {
    data.validate()?;
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    bytes.extend([MAGIC[0], MAGIC[1], VERSION]);
    bincode::serde::encode_into_std_write(V1::from(data), &mut bytes, config())
        .expect("a vector takes all bytes, and the length of a map is known");
    if bytes.len() > MAX_BYTES {
        return Err(EncodeError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Decodes what [`encode`] or an earlier release wrote, or JSON.
///
/// # Errors
///
/// When the bytes are more than 64 KiB, are neither, or hold no valid node data.
pub fn decode(bytes: &[u8]) -> Result<NodeData, DecodeError> {
    if bytes.len() > MAX_BYTES {
        return Err(DecodeError::TooLarge { bytes: bytes.len() });
    }
    match bytes {
        [b'{', ..] => NodeData::from_json(bytes),
        [a, b, 1, payload @ ..] if [*a, *b] == MAGIC => decode_v1(payload),
        [a, b, version, ..] if [*a, *b] == MAGIC && *version > VERSION => {
            Err(DecodeError::NewerVersion { version: *version })
        }
        _ => Err(DecodeError::Unrecognized { start: bytes.iter().copied().take(8).collect() }),
    }
}

/// What a field may claim while it is decoded. A length that takes one byte counts as eight, so with the size limit
/// itself a value full of short metadata could be written and not be read again.
const MAX_CLAIM: usize = 16 * MAX_BYTES;

/// Lengths of variable width, little endian. The limit keeps a few bytes from claiming all memory.
fn config() -> impl Config {
    bincode::config::standard().with_limit::<MAX_CLAIM>()
}

/// The payload of version 1, as it is written. Released: neither its fields nor their order may ever change.
#[derive(Serialize)]
struct V1<'a> {
    server_ip: Option<&'a str>,
    server_port: Option<u16>,
    server_unique_code: Option<&'a str>,
    weight: u32,
    registered_at: u64,
    metadata: &'a Metadata,
}

impl<'a> From<&'a NodeData> for V1<'a> {
    fn from(data: &'a NodeData) -> Self {
        Self {
            server_ip: data.address.as_ref().map(Address::host),
            server_port: data.address.as_ref().map(Address::port),
            server_unique_code: data.unique_code.as_deref(),
            weight: data.weight,
            registered_at: data.registered_at,
            metadata: &data.metadata,
        }
    }
}

/// Reads what [`V1`] wrote: a struct is its fields one after the other, and read like that an error can name one.
fn decode_v1(payload: &[u8]) -> Result<NodeData, DecodeError> {
    let mut rest = payload;
    let fields = Fields {
        server_ip: field("server_ip", &mut rest)?,
        server_port: field("server_port", &mut rest)?,
        server_unique_code: field("server_unique_code", &mut rest)?,
        weight: Some(field("weight", &mut rest)?),
        registered_at: Some(field("registered_at", &mut rest)?),
        metadata: Some(field("metadata", &mut rest)?),
    };
    if !rest.is_empty() {
        return Err(DecodeError::Trailing { bytes: rest.len() });
    }
    Ok(fields.try_into()?)
}

/// Takes one field off the payload.
fn field<T: DeserializeOwned>(field: &'static str, rest: &mut &[u8]) -> Result<T, DecodeError> {
    let refuse = |what| DecodeError::Field { field, what };
    let (value, used) =
        bincode::serde::decode_from_slice(rest, config()).map_err(|error| refuse(in_words(&error)))?;
    // Never more than there is; checked all the same, for these bytes may come from anybody.
    *rest = rest.get(used..).ok_or_else(|| refuse("it ends past the value".into()))?;
    Ok(value)
}

fn in_words(error: &PayloadError) -> String {
    match error {
        PayloadError::UnexpectedEnd { .. } => "the value ends inside it".into(),
        PayloadError::LimitExceeded => "it claims to be longer than a value may be".into(),
        PayloadError::Utf8 { .. } => "it is not UTF-8".into(),
        other => shortened(&other.to_string(), 200),
    }
}
