//! Our own layout.

use proto::{Instance, InstanceId, NodeData, Root, ServiceName};
use zk_session::{Kind, Node};

use super::{Layout, NewNode, Services};
use crate::Error;

/// Our own layout: `{root}/{service}/instances/{id}`, with the node data as its value.
///
/// Directories are container nodes, which ZooKeeper removes by itself some time after their last child is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Native {
    /// The directory of all services.
    pub root: Root,
}

impl Layout for Native {
    fn directory(&self, service: &ServiceName) -> String {
        self.root.instances_dir(service)
    }

    fn parents(&self) -> Kind {
        Kind::Container
    }

    fn node(&self, id: &InstanceId, data: &NodeData) -> Result<NewNode, Error> {
        let value = proto::encode(data).map_err(Error::invalid)?;
        Ok(NewNode { name: id.as_str().to_owned(), value })
    }

    fn read(&self, name: &str, node: &Node) -> Result<Option<Instance>, String> {
        let id = InstanceId::parse(name).map_err(|error| error.to_string())?;
        let data = proto::decode(&node.data).map_err(|error| error.to_string())?;
        Ok(Some(Instance { id, data }))
    }

    /// A service with nothing but an election counts, too.
    fn services(&self) -> Services {
        Services::ChildrenOf(self.root.as_str().to_owned())
    }
}
