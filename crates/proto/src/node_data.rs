//! What an instance says about itself.

use crate::{Address, AddressError, InstanceId, Metadata, NameError};

/// The most bytes that a unique code may have.
pub const MAX_CODE: usize = 255;

/// What an instance says about itself: where it is or who it is, and how much it takes.
///
/// # Examples
///
/// ```
/// use proto::NodeData;
///
/// let data = NodeData::at("127.0.0.1:8897".parse()?).with_weight(3).with_metadata("zone", "b");
/// assert_eq!(data.default_id()?.as_str(), "127.0.0.1:8897");
///
/// let data = NodeData::behind_broker("cacd3aa4");
/// assert_eq!(data.default_id()?.as_str(), "cacd3aa4");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeData {
    /// Where it listens; `None` for an instance that is reached through a broker only.
    pub address: Option<Address>,
    /// Who it is behind a message broker; required where there is no address.
    pub unique_code: Option<String>,
    /// Its share of the requests; 0 is registered and never picked.
    pub weight: u32,
    /// When it was first registered, in Unix milliseconds; 0 while that is not known. Survives re-registration.
    pub registered_at: u64,
    /// Whatever else is worth knowing: zone, version, tags.
    pub metadata: Metadata,
}

impl NodeData {
    /// The weight of an instance that says nothing about it.
    pub const DEFAULT_WEIGHT: u32 = 1;

    /// An instance that listens at `address`.
    pub fn at(address: Address) -> Self {
        Self { address: Some(address), ..Self::unidentified() }
    }

    /// An instance without an address, reached through a message broker by `code`.
    pub fn behind_broker(code: impl Into<String>) -> Self {
        Self { unique_code: Some(code.into()), ..Self::unidentified() }
    }

    fn unidentified() -> Self {
        Self {
            address: None,
            unique_code: None,
            weight: Self::DEFAULT_WEIGHT,
            registered_at: 0,
            metadata: Metadata::default(),
        }
    }

    /// The same with another weight.
    #[must_use]
    pub fn with_weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// The same with a unique code.
    #[must_use]
    pub fn with_code(self, code: impl Into<String>) -> Self {
        Self { unique_code: Some(code.into()), ..self }
    }

    /// The same with one more entry of metadata; an earlier one of that key is replaced.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Checks what the types leave open: it has an address or a unique code, and the code is of a sensible length.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), InvalidData> {
        match &self.unique_code {
            Some(code) if !(1..=MAX_CODE).contains(&code.len()) => {
                Err(InvalidData::Code { bytes: code.len() })
            }
            None if self.address.is_none() => Err(InvalidData::Unidentified),
            _ => Ok(()),
        }
    }

    /// The id of an instance that was given none: its address, else its unique code.
    ///
    /// # Errors
    ///
    /// When it has neither, or the unique code cannot be the name of a node.
    pub fn default_id(&self) -> Result<InstanceId, InvalidData> {
        self.validate()?;
        match (&self.address, &self.unique_code) {
            (Some(address), _) => Ok(crate::flat::name_of(address)),
            (None, Some(code)) => InstanceId::parse(code).map_err(InvalidData::CodeAsId),
            (None, None) => Err(InvalidData::Unidentified),
        }
    }
}

/// What is wrong with node data whose bytes could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidData {
    /// Nobody could reach or name this instance.
    #[error(
        "there is neither an address (server_ip and server_port) nor a server_unique_code; one of them is needed"
    )]
    Unidentified,

    /// A host without a port, or a port without a host.
    #[error("there is a {present} without a {missing}; both or none are accepted")]
    HalfAddress {
        /// The field that is there.
        present: &'static str,
        /// The field that is not.
        missing: &'static str,
    },

    /// The address is none.
    #[error("server_ip, server_port: {0}")]
    Address(AddressError),

    /// The unique code is empty or too long.
    #[error("server_unique_code has {bytes} bytes; accepted: 1-{MAX_CODE}")]
    Code {
        /// How many bytes it has.
        bytes: usize,
    },

    /// The unique code is asked to be the id and cannot be: give the instance an id.
    #[error("server_unique_code cannot be the instance id: {0}")]
    CodeAsId(NameError),
}

/// Node data as its stored forms hold it: field by field, not yet checked together.
#[derive(Default)]
pub(crate) struct Fields {
    pub(crate) server_ip: Option<String>,
    pub(crate) server_port: Option<u16>,
    pub(crate) server_unique_code: Option<String>,
    pub(crate) weight: Option<u32>,
    pub(crate) registered_at: Option<u64>,
    pub(crate) metadata: Option<Metadata>,
}

impl TryFrom<Fields> for NodeData {
    type Error = InvalidData;

    fn try_from(fields: Fields) -> Result<Self, InvalidData> {
        let address = match (fields.server_ip, fields.server_port) {
            (Some(host), Some(port)) => Some(Address::new(&host, port).map_err(InvalidData::Address)?),
            (None, None) => None,
            (Some(_), None) => {
                return Err(InvalidData::HalfAddress { present: "server_ip", missing: "server_port" });
            }
            (None, Some(_)) => {
                return Err(InvalidData::HalfAddress { present: "server_port", missing: "server_ip" });
            }
        };
        let data = Self {
            address,
            unique_code: fields.server_unique_code,
            weight: fields.weight.unwrap_or(Self::DEFAULT_WEIGHT),
            registered_at: fields.registered_at.unwrap_or(0),
            metadata: fields.metadata.unwrap_or_default(),
        };
        data.validate()?;
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address::new("::1", 80).unwrap()
    }

    #[test]
    fn data_is_built_with_defaults() {
        let data = NodeData::at(address());
        assert_eq!((data.weight, data.registered_at, data.metadata.len()), (1, 0, 0));
        let data = data.with_weight(0).with_code("c").with_metadata("zone", "a").with_metadata("zone", "b");
        assert_eq!(data.address, Some(address()));
        assert_eq!((data.weight, data.unique_code.as_deref()), (0, Some("c")));
        assert_eq!(data.metadata, Metadata::from([("zone", "b")]));
    }

    #[test]
    fn the_default_id_is_the_address_else_the_unique_code() {
        assert_eq!(NodeData::at(address()).with_code("c").default_id().unwrap().as_str(), "[::1]:80");
        assert_eq!(NodeData::behind_broker("c").default_id().unwrap().as_str(), "c");
        let error = NodeData::behind_broker("a/b").default_id().unwrap_err();
        assert_eq!(error, InvalidData::CodeAsId(InstanceId::parse("a/b").unwrap_err()));
        assert_eq!(NodeData::unidentified().default_id(), Err(InvalidData::Unidentified));
        assert_eq!(NodeData::behind_broker("").default_id(), Err(InvalidData::Code { bytes: 0 }));
    }

    #[test]
    fn each_refusal_says_what_is_wrong() {
        let both = || Fields { server_ip: Some("h".into()), server_port: Some(1), ..Fields::default() };
        for (fields, message) in [
            (
                Fields::default(),
                "there is neither an address (server_ip and server_port) nor a server_unique_code; one of them is needed",
            ),
            (
                Fields { server_port: None, ..both() },
                "there is a server_ip without a server_port; both or none are accepted",
            ),
            (
                Fields { server_ip: None, server_unique_code: Some("c".into()), ..both() },
                "there is a server_port without a server_ip; both or none are accepted",
            ),
            (
                Fields { server_port: Some(0), ..both() },
                "server_ip, server_port: \"h\" is not an address: the port is not a number of 1-65535",
            ),
            (
                Fields { server_unique_code: Some(String::new()), ..both() },
                "server_unique_code has 0 bytes; accepted: 1-255",
            ),
            (
                Fields { server_unique_code: Some("c".repeat(256)), ..both() },
                "server_unique_code has 256 bytes; accepted: 1-255",
            ),
        ] {
            let error = NodeData::try_from(fields).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let error = NodeData::behind_broker(".").default_id().unwrap_err().to_string();
        assert!(
            error.starts_with("server_unique_code cannot be the instance id: \".\" cannot be a name"),
            "{error}"
        );
        assert_eq!(NodeData::try_from(both()).unwrap(), NodeData::at(Address::new("h", 1).unwrap()));
    }
}
