//! On which addresses the operator's servers listen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpListener;

/// The pod's address, from the downward API; absent outside a cluster.
const POD_IP: &str = "POD_IP";

/// Where pods share the loopback network of one computer (the sandbox), each has an address of its own there, and
/// listening on all of them would collide with another sandbox's operator.
fn shared_loopback() -> Option<IpAddr> {
    own_loopback(std::env::var(POD_IP).ok().as_deref())
}

fn own_loopback(pod_ip: Option<&str>) -> Option<IpAddr> {
    pod_ip?.parse::<IpAddr>().ok().filter(IpAddr::is_loopback)
}

/// Listens on all interfaces, IPv6 and IPv4. `flag` names the setting that moves the port.
///
/// # Errors
/// When the port cannot be bound.
pub(super) async fn everywhere(port: u16, flag: &str) -> anyhow::Result<TcpListener> {
    let failed = || format!("port {port} cannot be bound ({flag})");
    if let Some(own) = shared_loopback() {
        return TcpListener::bind(SocketAddr::new(own, port))
            .await
            .with_context(failed);
    }
    match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
        Ok(listener) => Ok(listener),
        // A node without IPv6, or one whose IPv6 part of the port is taken.
        Err(_) => TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            .await
            .with_context(failed),
    }
}

/// The address that only containers of the same pod reach.
pub(super) fn within_the_pod(port: u16) -> SocketAddr {
    SocketAddr::new(shared_loopback().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_is_listened_on_alone() {
        assert_eq!(own_loopback(None), None);
        assert_eq!(own_loopback(Some("")), None);
        assert_eq!(own_loopback(Some("10.1.2.3")), None);
        assert_eq!(own_loopback(Some("fd00::7")), None);
        assert_eq!(
            own_loopback(Some("127.3.2.1")),
            Some(IpAddr::from([127, 3, 2, 1]))
        );
    }
}
