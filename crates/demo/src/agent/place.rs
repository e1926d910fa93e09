//! What an agent says of itself in ZooKeeper: where it listens, if anywhere.

use std::num::NonZeroU16;

use clap::Args as ClapArgs;
use cli::ending::Usage;
use cli::flags::number;
use proto::{Address, InstanceId, NodeData};

/// Where an agent says that it listens.
#[derive(ClapArgs, Debug)]
pub(super) struct Place {
    /// The host that it says it listens on
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    addr: String,

    /// The port that it says it listens on; without one it has no address, and its name as unique code
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = number::<NonZeroU16>(1..=65535))]
    port: Option<NonZeroU16>,
}

impl Place {
    /// What the node of `name` says.
    pub(super) fn data(&self, name: &InstanceId) -> Result<NodeData, Usage> {
        // Checked without a port too: one may be told later.
        let address = self.at(self.port.unwrap_or(NonZeroU16::MIN)).map_err(Usage)?;
        Ok(match self.port {
            Some(_) => NodeData::at(address),
            None => NodeData::behind_broker(name.as_str()),
        })
    }

    /// What an update changes about that.
    pub(super) fn change(
        &self,
        port: Option<NonZeroU16>,
        weight: Option<u32>,
    ) -> Result<impl FnOnce(&mut NodeData) + use<>, String> {
        let address = port.map(|port| self.at(port)).transpose()?;
        Ok(move |data: &mut NodeData| {
            data.weight = weight.unwrap_or(data.weight);
            data.address = address.or_else(|| data.address.take());
        })
    }

    fn at(&self, port: NonZeroU16) -> Result<Address, String> {
        Address::new(&self.addr, port.get()).map_err(|error| error.to_string())
    }
}
