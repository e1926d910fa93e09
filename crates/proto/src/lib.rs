//! What Headkeeper stores in ZooKeeper: names, paths, node data and its formats. No I/O.
//!
//! Text becomes a name, an address or a path only by a check, so what has one of these types is safe to use; the one
//! place that builds paths is [`path`]. Bytes from ZooKeeper may come from anybody: [`decode`] gives node data or an
//! error that says what is wrong, for any bytes.
//!
//! # Errors
//!
//! Each check has an error of its own ([`NameError`], [`AddressError`], [`PathError`], [`InvalidData`]), which says on one line what was wrong
//! and what is accepted, in bounded length whatever it was given. [`EncodeError`] and [`DecodeError`] are for the value of a node; none
//! of them ever repeats a password, and nothing here panics for what comes from outside.
//!
//! # Examples
//!
//! ```
//! use proto::{NodeData, Root, ServiceName, decode, encode};
//!
//! let service = ServiceName::parse("time")?;
//! let data = NodeData::at("127.0.0.1:8897".parse()?).with_weight(2).with_metadata("zone", "b");
//! let id = data.default_id()?;
//!
//! let path = Root::default().instance_path(&service, &id);
//! assert_eq!(path, "/headkeeper/time/instances/127.0.0.1:8897");
//!
//! let value = encode(&data)?;
//! assert_eq!(decode(&value)?, data);
//!
//! let error = decode(b"hello").unwrap_err();
//! assert!(error.to_string().starts_with("the value begins with 68 65 6C 6C 6F; accepted: "));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod addressed;
pub mod envelope;
mod error;
pub mod flat;
mod instance;
mod json;
pub mod master_normal;
mod metadata;
mod name;
mod node_data;
pub mod path;
mod text;

pub use crate::address::{Address, AddressError};
pub use crate::addressed::accepts;
pub use crate::envelope::{decode, encode};
pub use crate::error::{DecodeError, EncodeError};
pub use crate::instance::Instance;
pub use crate::metadata::Metadata;
pub use crate::name::{InstanceId, MAX_NAME, NameError, ServiceName};
pub use crate::node_data::{InvalidData, MAX_CODE, NodeData};
pub use crate::path::{Dir, PathError, Root};

/// The most bytes that the value of a node may have, in every form; checked before it is sent, and before it is decoded.
pub const MAX_BYTES: usize = 64 * 1024;
