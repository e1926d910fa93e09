//! With what was it measured?

/// The commit that this was built from, if the folder that it was built in is still there and is a checkout.
pub(crate) fn commit() -> Option<String> {
    measured::commit(env!("CARGO_MANIFEST_DIR"))
}

/// What was measured, for the record.
pub(crate) fn clients() -> String {
    let build =
        if cfg!(debug_assertions) { "built for debugging, which makes it slow" } else { "release build" };
    format!("zookeeper-client {}, headkeeper {}, {build}", client(), env!("CARGO_PKG_VERSION"))
}

/// The version of the client that all of this stands on, as it was built in.
fn client() -> &'static str {
    let lock = include_str!("../../../../../Cargo.lock");
    let entry = lock.split_once("name = \"zookeeper-client\"\nversion = \"").map_or("", |(_, rest)| rest);
    entry.split('"').next().unwrap_or_default()
}
