//! Where instances are in ZooKeeper, and what their nodes say.

mod flat;
mod master_normal;
mod native;

use std::fmt;

use proto::{Instance, InstanceId, NodeData, ServiceName};
use zk_session::{Kind, Node};

pub use self::flat::Flat;
pub use self::master_normal::MasterNormal;
pub use self::native::Native;
use crate::Error;

/// Where instances are in ZooKeeper, and what their nodes say.
///
/// Every implementation promises: the instances of a service are the children of one directory; the same service and
/// id always give the same node; names come out of checked types, so no node is ever outside the directory; and what
/// [`node`](Self::node) accepts, [`read`](Self::read) reads back. One that is only there to be read accepts nothing.
pub trait Layout: fmt::Debug + Send + Sync + 'static {
    /// The directory whose children are the instances of a service.
    fn directory(&self, service: &ServiceName) -> String;

    /// As what directories are made that are missing.
    fn parents(&self) -> Kind;

    /// The node of an instance.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the layout cannot store this: nothing is left out silently.
    fn node(&self, id: &InstanceId, data: &NodeData) -> Result<NewNode, Error>;

    /// The instance that a node stands for; `None` leaves it out.
    ///
    /// Called once for each version of a node.
    ///
    /// # Errors
    ///
    /// Why the node cannot be used, in words for an operator.
    fn read(&self, name: &str, node: &Node) -> Result<Option<Instance>, String>;

    /// Which services there are.
    fn services(&self) -> Services;
}

/// A node as it is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// What it is called in the directory of its service.
    pub name: String,
    /// What is in it.
    pub value: Vec<u8>,
}

/// Where a layout has its services.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Services {
    /// Each child of this directory is one.
    ChildrenOf(String),
    /// There is one, if this directory exists.
    Single {
        /// The directory.
        directory: String,
        /// What the service is called; `None` when it has no usable name.
        name: Option<ServiceName>,
    },
}
