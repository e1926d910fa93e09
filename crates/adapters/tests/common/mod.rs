//! What the tests share: instances, lists, and waiting with a limit.

#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests, of which each file uses a part")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use loadbalance::{Balancer, Instance, InstanceId, Instances, NodeData};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// No state is waited for longer than this; the machine may be busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// An address where nobody listens, until somebody [does](TcpSocket::listen) by this socket: until then it is taken all the same.
pub(crate) fn taken() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An address where nobody listens, nor will for as long as this process runs.
pub(crate) fn nowhere() -> SocketAddr {
    let (socket, address) = taken();
    std::mem::forget(socket);
    address
}

pub(crate) type Lists = watch::Sender<Option<Instances>>;

/// An instance of this name, somewhere.
pub(crate) fn instance(name: &str, address: impl ToString) -> Instance {
    let id = InstanceId::parse(name).unwrap();
    Instance { id, data: NodeData::at(address.to_string().parse().unwrap()) }
}

pub(crate) fn list(instances: impl IntoIterator<Item = Instance>) -> Option<Instances> {
    Some(instances.into_iter().map(Arc::new).collect())
}

/// Waits for what has to come, and fails when it does not.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// Waits until something is true that nobody tells of.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    within(what, async {
        while !is() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// How many requests are in flight at this instance, and how many failed in a row.
pub(crate) fn standing(balancer: &Balancer, name: &str) -> (u32, u32) {
    let candidates = balancer.candidates();
    let candidate = candidates.iter().find(|candidate| candidate.id().as_str() == name).unwrap();
    (candidate.in_flight(), candidate.failures())
}
