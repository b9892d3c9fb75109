//! A container's environment and command line, put together as the kubelet does it. Pure: Secrets and ConfigMaps
//! are fetched before. Values are never logged.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};

use super::fields::{self, Capacity};

/// The search path of a container that sets none.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an environment is made from.
#[derive(Default)]
pub(crate) struct Sources {
    /// Secrets of the pod's namespace that exist, by name.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// ConfigMaps of the pod's namespace that exist, by name.
    pub(crate) config_maps: BTreeMap<String, ConfigMap>,
    /// What every container of the namespace gets: the API server's address and the Services'.
    pub(crate) services: Vec<(String, String)>,
    /// What the image sets.
    pub(crate) image: Vec<(String, String)>,
}

/// The names of the Secrets and ConfigMaps a container's environment needs.
pub(crate) fn needs(container: &Container) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut secrets, mut config_maps) = (BTreeSet::new(), BTreeSet::new());
    for from in container.env_from.iter().flatten() {
        secrets.extend(from.secret_ref.as_ref().map(|r| r.name.clone()));
        config_maps.extend(from.config_map_ref.as_ref().map(|r| r.name.clone()));
    }
    for source in container
        .env
        .iter()
        .flatten()
        .filter_map(|e| e.value_from.as_ref())
    {
        secrets.extend(source.secret_key_ref.as_ref().map(|r| r.name.clone()));
        config_maps.extend(source.config_map_key_ref.as_ref().map(|r| r.name.clone()));
    }
    (secrets, config_maps)
}

/// The environment in order, each name once. The error is the kubelet's message for `CreateContainerConfigError`.
pub(crate) fn build(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    node: &str,
    capacity: &Capacity,
) -> Result<Vec<(String, String)>, String> {
    let mut env = Environment::default();
    env.set("PATH", DEFAULT_PATH.to_owned());
    for (name, value) in sources.image.iter().chain(&sources.services) {
        env.set(name, value.clone());
    }
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.clone().unwrap_or_default();
        for (key, value) in from_all(from, sources)? {
            if !key.is_empty() && !key.contains(['=', '\0']) {
                env.set(&format!("{prefix}{key}"), value);
            }
        }
    }
    for var in container.env.iter().flatten() {
        let value = match &var.value_from {
            None => Some(expand(var.value.as_deref().unwrap_or(""), &|n| env.get(n))),
            Some(source) => from_one(pod, container, source, sources, node, capacity)?,
        };
        if let Some(value) = value {
            env.set(&var.name, value);
        }
    }
    Ok(env.values)
}

#[derive(Default)]
struct Environment {
    values: Vec<(String, String)>,
}

impl Environment {
    fn set(&mut self, name: &str, value: String) {
        match self.values.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name.to_owned(), value)),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.values
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.clone())
    }
}

fn from_all(
    from: &k8s_openapi::api::core::v1::EnvFromSource,
    sources: &Sources,
) -> Result<Vec<(String, String)>, String> {
    let mut all = Vec::new();
    if let Some(r) = &from.config_map_ref {
        match sources.config_maps.get(&r.name) {
            Some(map) => all.extend(map.data.clone().unwrap_or_default()),
            None if r.optional == Some(true) => {}
            None => return Err(format!("configmap \"{}\" not found", r.name)),
        }
    }
    if let Some(r) = &from.secret_ref {
        match sources.secrets.get(&r.name) {
            Some(secret) => {
                let data = secret.data.iter().flatten();
                all.extend(data.map(|(k, v)| (k.clone(), String::from_utf8_lossy(&v.0).into_owned())));
            }
            None if r.optional == Some(true) => {}
            None => return Err(format!("secret \"{}\" not found", r.name)),
        }
    }
    Ok(all)
}

/// One `valueFrom`; `None` when an optional source is missing.
fn from_one(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    sources: &Sources,
    node: &str,
    capacity: &Capacity,
) -> Result<Option<String>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    if let Some(r) = &source.field_ref {
        return fields::field(pod, &r.field_path, node).map(Some);
    }
    if let Some(r) = &source.resource_field_ref {
        return fields::resource(pod, Some(container), r, capacity).map(Some);
    }
    if let Some(r) = &source.secret_key_ref {
        let secret = sources.secrets.get(&r.name);
        let value = secret.and_then(|s| s.data.as_ref()?.get(&r.key));
        return match value {
            Some(bytes) => Ok(Some(String::from_utf8_lossy(&bytes.0).into_owned())),
            None if r.optional == Some(true) => Ok(None),
            None if secret.is_none() => Err(format!("secret \"{}\" not found", r.name)),
            None => Err(format!(
                "couldn't find key {} in Secret {namespace}/{}",
                r.key, r.name
            )),
        };
    }
    if let Some(r) = &source.config_map_key_ref {
        let map = sources.config_maps.get(&r.name);
        let value = map.and_then(|m| m.data.as_ref()?.get(&r.key));
        return match value {
            Some(text) => Ok(Some(text.clone())),
            None if r.optional == Some(true) => Ok(None),
            None if map.is_none() => Err(format!("configmap \"{}\" not found", r.name)),
            None => Err(format!(
                "couldn't find key {} in ConfigMap {namespace}/{}",
                r.key, r.name
            )),
        };
    }
    Err("this kind of valueFrom is not offered by the sandbox".to_owned())
}

/// Kubernetes' own expansion: `$(NAME)` becomes the value, `$$` a dollar; what is unknown stays as it is.
pub(crate) fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = from.get(1..).unwrap_or("");
        let name = after.strip_prefix('(').and_then(|a| a.split_once(')'));
        if let Some((name, tail)) = name {
            match value(name) {
                Some(v) => out.push_str(&v),
                None => out.push_str(&format!("$({name})")),
            }
            rest = tail;
        } else if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sources() -> Sources {
        let secret =
            serde_json::from_value(json!({"data": {"user": "YWRtaW4=", "bad=key": "eA=="}})).unwrap();
        let map = serde_json::from_value(json!({"data": {"mode": "fast"}})).unwrap();
        Sources {
            secrets: BTreeMap::from([("s".to_owned(), secret)]),
            config_maps: BTreeMap::from([("m".to_owned(), map)]),
            services: vec![("KUBERNETES_SERVICE_HOST".to_owned(), "127.0.0.1".to_owned())],
            image: vec![("LANG".to_owned(), "C".to_owned())],
        }
    }

    fn run(env: &serde_json::Value, env_from: &serde_json::Value) -> Result<Vec<(String, String)>, String> {
        let container = json!({"name": "c", "env": env, "envFrom": env_from});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [container.clone()]}
        }))
        .unwrap();
        let container: Container = serde_json::from_value(container).unwrap();
        build(
            &pod,
            &container,
            &sources(),
            "node",
            &Capacity { cpus: 2, memory: 1 },
        )
    }

    #[test]
    fn every_source_in_order_and_later_ones_win() {
        let env = run(
            &json!([
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)-$(KUBERNETES_SERVICE_HOST)-$(NONE)-$$(A)"},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "USER", "valueFrom": {"secretKeyRef": {"name": "s", "key": "user"}}},
                {"name": "X_mode", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "mode"}}},
                {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": true}}},
                {"name": "A", "value": "2"}
            ]),
            &json!([{"prefix": "X_", "configMapRef": {"name": "m"}}, {"secretRef": {"name": "s"}}]),
        )
        .unwrap();
        let get = |n: &str| env.iter().find(|(k, _)| k == n).map(|(_, v)| v.as_str());
        assert_eq!(get("A"), Some("2"));
        assert_eq!(get("B"), Some("1-127.0.0.1-$(NONE)-$(A)"));
        assert_eq!(get("POD"), Some("p"));
        assert_eq!(get("CPU"), Some("2"));
        assert_eq!(get("USER"), Some("admin"));
        assert_eq!(get("user"), Some("admin"));
        assert_eq!(get("X_mode"), Some("fast"));
        assert_eq!(get("GONE"), None);
        assert_eq!(get("PATH"), Some(DEFAULT_PATH));
        assert_eq!(get("LANG"), Some("C"));
        assert!(!env.iter().any(|(k, _)| k.contains('=')));
    }

    #[test]
    fn missing_sources_are_named() {
        let one =
            |v: serde_json::Value| run(&json!([{"name": "A", "valueFrom": v}]), &json!([])).unwrap_err();
        assert_eq!(
            one(json!({"secretKeyRef": {"name": "no", "key": "k"}})),
            "secret \"no\" not found"
        );
        assert_eq!(
            one(json!({"secretKeyRef": {"name": "s", "key": "k"}})),
            "couldn't find key k in Secret n/s"
        );
        assert_eq!(
            one(json!({"configMapKeyRef": {"name": "m", "key": "k"}})),
            "couldn't find key k in ConfigMap n/m"
        );
        assert_eq!(
            run(&json!([]), &json!([{"configMapRef": {"name": "no"}}])).unwrap_err(),
            "configmap \"no\" not found"
        );
    }

    #[test]
    fn expansion_keeps_what_is_not_a_reference() {
        let value = |n: &str| (n == "A").then(|| "x".to_owned());
        for (text, expected) in [
            ("$(A)$(A)", "xx"),
            ("$A", "$A"),
            ("100$", "100$"),
            ("$(A", "$(A"),
            ("$$$(A)", "$x"),
        ] {
            assert_eq!(expand(text, &value), expected, "{text}");
        }
    }
}
