//! How an instance is named in the address of a request.

use http::uri::Authority;
use loadbalance::Instance;
use tower::BoxError;

/// The instance has no address: it is reached through a message broker only.
#[derive(Debug, thiserror::Error)]
#[error("it has no address: it is reached through a message broker only")]
struct NoAddress;

/// The authority of the addresses of an instance.
pub(crate) fn authority(instance: &Instance) -> Result<Authority, BoxError> {
    let address = instance.data.address.as_ref().ok_or(NoAddress)?;
    Ok(address.to_string().parse()?)
}
