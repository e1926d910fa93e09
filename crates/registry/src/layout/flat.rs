//! The layout of the old Go time servers.

use proto::{Dir, Instance, InstanceId, NodeData, ServiceName};
use tracing::warn;
use zk_session::{Kind, Node};

use super::{Layout, NewNode, Services};
use crate::Error;

/// The layout of the old Go programs: `{dir}/{ip:port}`, with nothing in it.
///
/// The directory is one service, whatever that is called. The address is all that is stored, so an instance with
/// another weight than 1, with a unique code or metadata is refused, and so is an update to that; the id is always the
/// address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flat {
    /// The directory of all instances.
    pub dir: Dir,
    /// Leave out nodes that no session owns. One of the old programs makes such nodes by mistake, and they stay when
    /// it ends. Each is logged in any case.
    pub hide_ownerless: bool,
}

impl Layout for Flat {
    fn directory(&self, _: &ServiceName) -> String {
        self.dir.as_str().to_owned()
    }

    fn parents(&self) -> Kind {
        Kind::Persistent
    }

    fn node(&self, id: &InstanceId, data: &NodeData) -> Result<NewNode, Error> {
        let refuse = |what: &str| {
            Err(Error::invalid(format_args!(
                "cannot store {what} of {id}: the flat layout stores the address alone"
            )))
        };
        data.validate().map_err(Error::invalid)?;
        let Some(address) = &data.address else {
            return Err(Error::invalid(format_args!(
                "{id} has no address (server_ip and server_port), which the flat layout requires"
            )));
        };
        let name = proto::flat::name_of(address);
        if name != *id {
            return Err(Error::invalid(format_args!(
                "{id} cannot be the id of an instance at {address}: in the flat layout the id is the address, so \
                 announce another address as another instance"
            )));
        }
        if data.weight != NodeData::DEFAULT_WEIGHT {
            return refuse(&format!("weight {}", data.weight));
        }
        if data.unique_code.is_some() {
            return refuse("the server_unique_code");
        }
        if !data.metadata.is_empty() {
            return refuse("the metadata");
        }
        Ok(NewNode { name: name.to_string(), value: Vec::new() })
    }

    fn read(&self, name: &str, node: &Node) -> Result<Option<Instance>, String> {
        let instance = proto::flat::instance(name).map_err(|error| error.to_string())?;
        if node.stat.owner.is_none() {
            let (dir, hidden) = (&self.dir, self.hide_ownerless);
            warn!(%dir, name, hidden, "an instance whose node no session owns: it stays when its program ends");
            if hidden {
                return Ok(None);
            }
        }
        Ok(Some(instance))
    }

    fn services(&self) -> Services {
        let directory = self.dir.as_str().to_owned();
        let name = directory.rsplit('/').next().and_then(|name| ServiceName::parse(name).ok());
        Services::Single { directory, name }
    }
}
