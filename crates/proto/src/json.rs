//! Node data as JSON: what people and HTTP see, and what a program in any language may register.
//!
//! The keys are `server_ip`, `server_port`, `server_unique_code`, `weight`, `registered_at` and `metadata`. A key that
//! is missing or `null` has its default; a key of another name is ignored.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::node_data::Fields;
use crate::text::shortened;
use crate::{DecodeError, MAX_BYTES, NodeData};

/// The most characters of a parser's message that are passed on: it may repeat a whole value.
const MAX_MESSAGE: usize = 200;

impl NodeData {
    /// The JSON form, on one line; what is not set is left out.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers under fixed keys can always be written")
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    ///
    /// When it is more than 64 KiB, is not JSON, a field has the wrong type, or the whole is not valid.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, DecodeError> {
        let json = json.as_ref();
        if json.len() > MAX_BYTES {
            return Err(DecodeError::TooLarge { bytes: json.len() });
        }
        // The parser refuses nesting past its own limit, and skips unknown fields without recursion.
        let fields: Fields = serde_json::from_slice(json)
            .map_err(|error| DecodeError::Json { what: shortened(&error.to_string(), MAX_MESSAGE) })?;
        Ok(fields.try_into()?)
    }
}

impl Serialize for NodeData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            server_ip: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            server_port: Option<u16>,
            #[serde(skip_serializing_if = "Option::is_none")]
            server_unique_code: Option<&'a str>,
            weight: u32,
            registered_at: u64,
            metadata: &'a crate::Metadata,
        }

        let json = Json {
            server_ip: self.address.as_ref().map(crate::Address::host),
            server_port: self.address.as_ref().map(crate::Address::port),
            server_unique_code: self.unique_code.as_deref(),
            weight: self.weight,
            registered_at: self.registered_at,
            metadata: &self.metadata,
        };
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NodeData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// Written out, for the derived one does not say which field has the wrong type.
struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of node data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let from = (&mut map, &mut seen);
            match key.as_str() {
                "server_ip" => fields.server_ip = value("server_ip", from)?,
                "server_port" => fields.server_port = value("server_port", from)?,
                "server_unique_code" => fields.server_unique_code = value("server_unique_code", from)?,
                "weight" => fields.weight = value("weight", from)?,
                "registered_at" => fields.registered_at = value("registered_at", from)?,
                "metadata" => fields.metadata = value("metadata", from)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// The value of a field that comes once.
fn value<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    field: &'static str,
    (map, seen): (&mut A, &mut Vec<&'static str>),
) -> Result<Option<T>, A::Error> {
    if seen.contains(&field) {
        return Err(de::Error::duplicate_field(field));
    }
    seen.push(field);
    map.next_value().map_err(|error| de::Error::custom(format_args!("{field}: {error}")))
}
