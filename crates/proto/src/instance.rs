//! What discovery publishes.

use serde::Serialize;

use crate::{InstanceId, InvalidData, NodeData};

/// One instance of a service, as it was last read. As JSON it is one object: its `id` beside the fields of its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Its name, unique within the service.
    pub id: InstanceId,
    /// What it says about itself.
    #[serde(flatten)]
    pub data: NodeData,
}

impl Instance {
    /// The instance that this data describes, under its default id: its address, else its unique code.
    ///
    /// # Errors
    ///
    /// As [`NodeData::default_id`].
    pub fn new(data: NodeData) -> Result<Self, InvalidData> {
        Ok(Self { id: data.default_id()?, data })
    }
}
