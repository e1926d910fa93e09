//! The peers, each asked as its documentation says.

pub(crate) mod ketama;
pub(crate) mod pingora;
pub(crate) mod rand_distr;
pub(crate) mod tower;
pub(crate) mod volo;
pub(crate) mod weighted_rs;

/// What they are called in tables.
pub(crate) mod name {
    pub(crate) const SELECTOR: &str = "pingora selector";
    pub(crate) const BALANCER: &str = "pingora LoadBalancer";
    pub(crate) const KETAMA: &str = "pingora-ketama";
    pub(crate) const ALIAS: &str = "rand_distr";
    pub(crate) const TOWER: &str = "tower p2c";
    pub(crate) const VOLO: &str = "volo";
    pub(crate) const SCAN: &str = "nginx-style scan";
    pub(crate) const RING: &str = "pingora Consistent";
}

/// The crates beside which it is measured, with their versions, as they were built in.
pub(crate) fn versions() -> Vec<(&'static str, &'static str)> {
    const PEERS: [&str; 6] =
        ["pingora-load-balancing", "pingora-ketama", "tower", "volo", "weighted-rs", "rand_distr"];
    let lock = include_str!("../../../Cargo.lock");
    let version = |name: &'static str| {
        let entry = format!("name = \"{name}\"\nversion = \"");
        let rest = lock.split_once(&entry).map_or("", |(_, rest)| rest);
        (name, rest.split('"').next().unwrap_or_default())
    };
    PEERS.into_iter().map(version).collect()
}
