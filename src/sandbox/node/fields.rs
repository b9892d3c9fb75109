//! The downward API: fields of the pod and resources of its containers as text. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use kube::ResourceExt;

use super::address;

/// What the node itself offers, for containers without limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Processors.
    pub cpus: u64,
    /// Bytes of memory.
    pub memory: u64,
}

impl Capacity {
    /// This computer's.
    pub fn of_this_computer() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let kib = std::fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|t| {
                t.lines()
                    .find_map(|l| l.strip_prefix("MemTotal:").map(str::to_owned))
            })
            .and_then(|l| l.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()));
        Self {
            cpus,
            memory: kib.unwrap_or(1024 * 1024) * 1024,
        }
    }
}

/// A `fieldRef`. `node` is the node's name.
pub(crate) fn field(pod: &Pod, path: &str, node: &str) -> Result<String, String> {
    if let Some((map, key)) = subscript(path) {
        let values = match map {
            "metadata.labels" => pod.labels(),
            "metadata.annotations" => pod.annotations(),
            _ => return Err(format!("fieldPath \"{path}\" is not supported")),
        };
        return Ok(values.get(key).cloned().unwrap_or_default());
    }
    let spec = pod.spec.as_ref();
    Ok(match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "metadata.labels" => lines(pod.labels()),
        "metadata.annotations" => lines(pod.annotations()),
        "spec.nodeName" => node.to_owned(),
        "spec.serviceAccountName" => spec
            .and_then(|s| s.service_account_name.clone())
            .unwrap_or_else(|| "default".to_owned()),
        "status.podIP" | "status.podIPs" => address::of(pod),
        "status.hostIP" | "status.hostIPs" => address::HOST.to_owned(),
        _ => return Err(format!("fieldPath \"{path}\" is not supported")),
    })
}

/// `metadata.labels['key']` as its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// A map as the kubelet writes it into a file.
fn lines(values: &BTreeMap<String, String>) -> String {
    values
        .iter()
        .map(|(k, v)| format!("{k}={}", serde_json::json!(v)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A `resourceFieldRef` of a container of the pod.
pub(crate) fn resource(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    capacity: &Capacity,
) -> Result<String, String> {
    let named = selector
        .container_name
        .as_deref()
        .and_then(|name| container(pod, name));
    let container = named
        .or(own)
        .ok_or("resourceFieldRef names no container of the pod")?;
    let (list, name) = selector
        .resource
        .split_once('.')
        .ok_or("resourceFieldRef needs a resource such as limits.cpu")?;
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|r| r.limits.as_ref());
    let from = match list {
        "limits" => limits,
        "requests" => resources.and_then(|r| r.requests.as_ref()).or(limits),
        _ => return Err(format!("resource \"{}\" is not supported", selector.resource)),
    };
    let millis = match (from.and_then(|l| l.get(name)), list, name) {
        (Some(quantity), _, _) => parse_quantity(&quantity.0)?,
        (None, "limits", "cpu") => i128::from(capacity.cpus) * 1000,
        (None, "limits", "memory") => i128::from(capacity.memory) * 1000,
        _ => 0,
    };
    let divisor = match selector.divisor.as_ref().map(|d| d.0.as_str()) {
        None | Some("" | "0") => 1000,
        Some(text) => parse_quantity(text)?,
    };
    Ok(((millis + divisor - 1) / divisor.max(1)).to_string())
}

/// A container or init container by its name.
pub(crate) fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .find(|c| c.name == name)
}

/// A quantity in thousandths, rounded up.
pub(crate) fn parse_quantity(text: &str) -> Result<i128, String> {
    let wrong = || format!("\"{text}\" is not a quantity");
    let end = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let value: f64 = number.parse().map_err(|_| wrong())?;
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        exponent => {
            let power = exponent
                .strip_prefix(['e', 'E'])
                .and_then(|e| e.parse().ok())
                .ok_or_else(wrong)?;
            10f64.powi(power)
        }
    };
    #[allow(clippy::cast_possible_truncation, reason = "a quantity beyond 10^35 is none")]
    Ok((value * factor * 1000.0).ceil() as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "1", "b/c": "x\"y"}},
            "spec": {"serviceAccountName": "sa", "containers": [
                {"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}},
                {"name": "d"}
            ]}
        }))
        .unwrap()
    }

    #[test]
    fn fields_of_the_pod() {
        let pod = pod();
        let get = |path| field(&pod, path, "here");
        assert_eq!(get("metadata.name").unwrap(), "p");
        assert_eq!(get("metadata.labels['b/c']").unwrap(), "x\"y");
        assert_eq!(get("metadata.labels").unwrap(), "a=\"1\"\nb/c=\"x\\\"y\"");
        assert_eq!(get("metadata.annotations['none']").unwrap(), "");
        assert_eq!(get("spec.nodeName").unwrap(), "here");
        assert_eq!(get("spec.serviceAccountName").unwrap(), "sa");
        assert!(get("spec.containers").unwrap_err().contains("not supported"));
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let pod = pod();
        let capacity = Capacity {
            cpus: 8,
            memory: 1 << 30,
        };
        let get = |container: &str, resource_name: &str, divisor: &str| {
            let selector = serde_json::from_value(serde_json::json!({
                "containerName": container, "resource": resource_name, "divisor": divisor
            }));
            resource(&pod, None, &selector.unwrap(), &capacity)
        };
        assert_eq!(get("c", "limits.cpu", "0").unwrap(), "2");
        assert_eq!(get("c", "limits.cpu", "1m").unwrap(), "1500");
        assert_eq!(get("c", "requests.cpu", "1m").unwrap(), "250");
        assert_eq!(get("c", "limits.memory", "1Mi").unwrap(), "64");
        assert_eq!(get("d", "limits.cpu", "1").unwrap(), "8");
        assert_eq!(get("d", "limits.memory", "1Gi").unwrap(), "1");
        assert_eq!(get("d", "requests.memory", "1").unwrap(), "0");
        assert!(get("no-such", "limits.cpu", "1").is_err());
    }

    #[test]
    fn quantities() {
        for (text, millis) in [
            ("1", 1000),
            ("100m", 100),
            ("1Ki", 1_024_000),
            ("1e3", 1_000_000),
            ("0.5", 500),
            ("2k", 2_000_000),
        ] {
            assert_eq!(parse_quantity(text).unwrap(), millis, "{text}");
        }
        assert!(parse_quantity("a lot").is_err());
    }
}
