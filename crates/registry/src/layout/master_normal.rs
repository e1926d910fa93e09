//! The layout of the old Go framework, to be read.

use proto::master_normal::{self, Credentials};
use proto::{Instance, InstanceId, NodeData, Root, ServiceName};
use tracing::warn;
use zk_session::{Kind, Node};

use super::{Layout, NewNode, Services};
use crate::Error;

/// The layout of the old Go framework: `{root}/{service}/master` and `{root}/{service}/normal{sequence}`, for those who look for
/// instances. The id of an instance is the name of its node, so it changes when it becomes the master; who is what tell
/// [`Roles`](crate::Roles).
///
/// An instance is registered by standing for election, with `leader::Election` in the layout of the same name: announcing one
/// here is refused. When it was registered is not stored, and is taken to be when its node was made.
///
/// Its user name and password are left out, unless they are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterNormal {
    /// The directory of all services; what the old programs call the prefix.
    pub root: Root,
    /// Put what instances say as `username` and `userpwd` into their metadata, under these keys, where anybody who shows or
    /// logs metadata shows them too.
    pub reveal_credentials: bool,
}

impl Layout for MasterNormal {
    fn directory(&self, service: &ServiceName) -> String {
        self.root.service_dir(service)
    }

    fn parents(&self) -> Kind {
        Kind::Persistent
    }

    fn node(&self, id: &InstanceId, _: &NodeData) -> Result<NewNode, Error> {
        Err(Error::invalid(format_args!(
            "cannot announce {id}: in the master/normal layout an instance is registered by standing for election"
        )))
    }

    fn read(&self, name: &str, node: &Node) -> Result<Option<Instance>, String> {
        let (mut instance, credentials) = master_normal::instance(name, &node.data)?;
        instance.data.registered_at = node.stat.created_at;
        if self.reveal_credentials {
            let Credentials { username, userpwd } = credentials;
            let told = [("username", username), ("userpwd", userpwd)];
            instance.data.metadata.extend(told.into_iter().filter(|(_, text)| !text.is_empty()));
        }
        if node.stat.owner.is_none() {
            let root = &self.root;
            warn!(%root, name, "an instance whose node no session owns: it stays when its program ends");
        }
        Ok(Some(instance))
    }

    fn services(&self) -> Services {
        Services::ChildrenOf(self.root.as_str().to_owned())
    }
}
