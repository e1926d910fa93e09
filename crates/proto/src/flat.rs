//! The flat layout's names: the name of a node is the address of the instance, and its value means nothing.

use crate::{Address, AddressError, Instance, InstanceId, NameError, NodeData};

/// The name of the node of an instance that listens at `address`.
pub fn name_of(address: &Address) -> InstanceId {
    InstanceId::parse(&address.to_string())
        .expect("a checked address is short enough, has no character that is refused, and has a port")
}

/// The instance that a node of this name stands for; its weight is 1.
///
/// # Errors
///
/// When the name is no address.
///
/// # Examples
///
/// ```
/// let instance = proto::flat::instance("[::1]:80")?;
/// assert_eq!(instance.id.as_str(), "[::1]:80");
/// assert!(proto::flat::instance("master").is_err());
/// # Ok::<(), proto::flat::FlatError>(())
/// ```
pub fn instance(name: &str) -> Result<Instance, FlatError> {
    let id = InstanceId::parse(name).map_err(FlatError::Name)?;
    let address = name.parse().map_err(FlatError::Address)?;
    Ok(Instance { id, data: NodeData::at(address) })
}

/// Why the name of a node is not an instance of the flat layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlatError {
    /// It is no name of ours.
    #[error("{0}")]
    Name(NameError),
    /// It is no address.
    #[error("{0}")]
    Address(AddressError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_id_and_the_address() {
        for name in ["127.0.0.1:8897", "[::1]:80", "[0:0::1]:80", "host.name:65535"] {
            let Instance { id, data } = instance(name).unwrap();
            assert_eq!(id.as_str(), name);
            let address: Address = name.parse().unwrap();
            assert_eq!(name_of(&address), id);
            assert_eq!(data, NodeData::at(address));
            assert_eq!(data.weight, 1);
        }
    }

    #[test]
    fn each_refusal_says_what_is_wrong() {
        for (name, message) in [
            ("master", "\"master\" is not an address: there is no port; accepted: "),
            ("127.0.0.1:0", "\"127.0.0.1:0\" is not an address: the port is not a number of 1-65535"),
            ("a/b:1", "\"a/b:1\" cannot be a name: it contains U+002F at byte 1 of 5; accepted: "),
            ("", "\"\" cannot be a name: it is empty; accepted: "),
        ] {
            let error = instance(name).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
