//! Listening where a flag says, or saying why not and what helps.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use anyhow::anyhow;
use tokio::net::TcpListener;

/// Listens at `address`, which `flag` said.
///
/// # Errors
///
/// Why that is not possible, and what to do next.
pub async fn listen(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let tip = tip(flag, address, &error).map(|tip| format!("\n\n  tip: {tip}")).unwrap_or_default();
        anyhow!("cannot listen on {address}: {error}{tip}")
    })
}

fn tip(flag: &str, address: SocketAddr, error: &io::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::AddrInUse => Some(format!(
            "another program listens there already; end that one, or name another port by {flag}: 0 takes any that is free"
        )),
        ErrorKind::AddrNotAvailable => Some(format!(
            "this machine has no such address; {flag} takes one of its own, as 127.0.0.1, or {} for all of them",
            if address.is_ipv6() { "[::]" } else { "0.0.0.0" }
        )),
        ErrorKind::PermissionDenied if address.port() < 1024 => Some(format!(
            "ports below 1024 are for root unless the system says otherwise; name another one by {flag}"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_cannot_listen_is_told_why_and_what_helps() {
        let taken = listen("--listen", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = taken.local_addr().unwrap();
        let told = listen("--listen", address).await.unwrap_err().to_string();
        assert!(told.starts_with(&format!("cannot listen on {address}: Address already in use")), "{told}");
        assert!(told.ends_with("name another port by --listen: 0 takes any that is free"), "{told}");
        // An address for documentation, which no machine has.
        let told = listen("--proxy", "192.0.2.1:0".parse().unwrap()).await.unwrap_err().to_string();
        assert!(told.contains("tip: this machine has no such address; --proxy takes"), "{told}");
    }

    #[test]
    fn a_low_port_is_for_root() {
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        let told = |address: &str| tip("--listen", address.parse().unwrap(), &denied);
        assert!(told("127.0.0.1:80").is_some_and(|tip| tip.contains("below 1024")));
        assert_eq!(told("127.0.0.1:8080"), None);
    }
}
