//! Where the candidates of a service are in ZooKeeper, and what their nodes say.

use proto::master_normal::{self, Credentials, MASTER, NORMAL};
use proto::path::candidate_prefix;
use proto::{InstanceId, NodeData, Root, ServiceName};
use zk_session::{Kind, Name};

use crate::turn;

/// Where the candidates of a service are in ZooKeeper, and what their nodes say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Layout {
    /// Ours: `{root}/{service}/election/{id}-{sequence}`. Candidates stand in a line, and the first leads.
    Native {
        /// The directory of all services.
        root: Root,
    },

    /// That of the old Go framework: `{root}/{service}/master` is the node of whoever came first, and all others are normal
    /// instances, `{root}/{service}/normal{sequence}`, until they are the master. A candidate is registered by it: its node is
    /// where clients find it.
    ///
    /// There is no line: all normal instances hear of the end of a master at the same time, and whoever is first is the next
    /// one. Ours each let a random time of 100 ms at most pass before they try. An id is not stored. Everybody may write to
    /// these nodes, as the old programs expect it, unless the ACL of the session says otherwise.
    MasterNormal {
        /// The directory of all services; what the old programs call the prefix.
        root: Root,
        /// What our nodes tell clients besides the data.
        credentials: Credentials,
    },
}

impl Layout {
    /// The directory whose children are the candidates.
    pub(crate) fn directory(&self, service: &ServiceName) -> String {
        match self {
            Self::Native { root } => root.election_dir(service),
            Self::MasterNormal { root, .. } => root.service_dir(service),
        }
    }

    /// As what directories are made that are missing.
    pub(crate) fn parents(&self) -> Kind {
        match self {
            Self::Native { .. } => Kind::Container,
            Self::MasterNormal { .. } => Kind::Persistent,
        }
    }

    /// The node whose holder leads, when nobody is ahead.
    pub(crate) fn candidate(&self, id: &InstanceId) -> Name {
        match self {
            Self::Native { .. } => Name::Sequential(candidate_prefix(id)),
            Self::MasterNormal { .. } => Name::Contended(MASTER.to_owned()),
        }
    }

    /// The node of a candidate that does not have that one; in a line it has.
    pub(crate) fn stand_by(&self) -> Option<Name> {
        match self {
            Self::Native { .. } => None,
            Self::MasterNormal { .. } => Some(Name::Sequential(NORMAL.to_owned())),
        }
    }

    /// The name of the one node whose holder leads; `None` where that is the first of a line.
    pub(crate) fn only(&self) -> Option<&'static str> {
        match self {
            Self::Native { .. } => None,
            Self::MasterNormal { .. } => Some(MASTER),
        }
    }

    /// Whether candidates stand in a line, so that there is somebody directly ahead.
    pub(crate) fn has_line(&self) -> bool {
        self.only().is_none()
    }

    /// Where a node of this name stands in the directory; `None` when it can never lead.
    pub(crate) fn place(&self, name: &str) -> Option<u32> {
        match self {
            Self::Native { .. } => turn::place(name).map(|(sequence, _)| sequence),
            Self::MasterNormal { .. } => (name == MASTER).then_some(0),
        }
    }

    /// The value of a candidate's node.
    ///
    /// # Errors
    ///
    /// What cannot be stored.
    pub(crate) fn encode(&self, data: &NodeData) -> Result<Vec<u8>, proto::EncodeError> {
        match self {
            Self::Native { .. } => proto::encode(data),
            Self::MasterNormal { credentials, .. } => master_normal::encode(data, credentials),
        }
    }

    /// What a candidate says about itself.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, in words for an operator.
    pub(crate) fn decode(&self, value: &[u8]) -> Result<NodeData, String> {
        match self {
            Self::Native { .. } => proto::decode(value).map_err(|error| error.to_string()),
            Self::MasterNormal { .. } => {
                master_normal::decode(value).map(|(data, _)| data).map_err(|error| error.to_string())
            }
        }
    }
}
