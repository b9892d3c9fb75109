//! The address of a pod. Containers share the network of the computer, whose loopback network has sixteen million
//! addresses: each pod gets one of them by its uid. So two pods, of one sandbox or of two, can serve the same port
//! when they listen on their own address; what listens on all addresses is reached under each of them too.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

/// The computer's own address, and that of pods that ask for its network.
pub(crate) const HOST: &str = "127.0.0.1";

/// The address of a pod, the same for as long as it lives.
pub(crate) fn of(pod: &Pod) -> String {
    if pod.spec.as_ref().and_then(|s| s.host_network) == Some(true) {
        return HOST.to_owned();
    }
    let hash = Sha256::digest(pod.uid().unwrap_or_default());
    let byte = |at: usize| hash.get(at).copied().unwrap_or_default();
    // 127.0.0.0/16 is where programs of the computer itself live.
    format!("127.{}.{}.{}", byte(0) % 255 + 1, byte(1), byte(2) % 254 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, host: bool) -> Pod {
        serde_json::from_value(
            json!({"metadata": {"uid": uid}, "spec": {"containers": [], "hostNetwork": host}}),
        )
        .unwrap()
    }

    #[test]
    fn pods_differ_and_keep_their_address() {
        let one = of(&pod("a", false));
        assert_eq!(one, of(&pod("a", false)));
        assert_ne!(one, of(&pod("b", false)));
        assert!(one.parse::<std::net::Ipv4Addr>().unwrap().is_loopback(), "{one}");
        assert_eq!(of(&pod("a", true)), HOST);
    }
}
