//! Who manages the target of a restore: a controller, Helm, Argo CD, Flux.

use serde_json::Value;

use crate::cli::views::Reference;
use crate::cluster::kinds;

/// Its owners, each as `KIND NAME`.
pub(super) fn of(object: &Value) -> Vec<String> {
    let mut owners: Vec<String> = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|o| {
            format!(
                "{} {}",
                o["kind"].as_str().unwrap_or_default(),
                o["name"].as_str().unwrap_or_default()
            )
        })
        .collect();
    let label = |kind: &str, key: &str| {
        object
            .pointer(&format!("/metadata/{kind}"))
            .and_then(|labels| labels.get(key))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    for (name, kind, key) in [
        ("Argo CD application", "labels", "argocd.argoproj.io/instance"),
        (
            "Argo CD application",
            "annotations",
            "argocd.argoproj.io/tracking-id",
        ),
        ("Flux Kustomization", "labels", "kustomize.toolkit.fluxcd.io/name"),
        ("Flux HelmRelease", "labels", "helm.toolkit.fluxcd.io/name"),
        ("Helm release", "annotations", "meta.helm.sh/release-name"),
    ] {
        if let Some(value) = label(kind, key) {
            owners.push(format!("{name} {value}"));
        }
    }
    owners
}

/// What to know about them.
pub(super) fn warning(owners: &[String], target: &Reference) -> Option<String> {
    let gitops = owners
        .iter()
        .any(|o| o.starts_with("Argo") || o.starts_with("Flux"));
    (gitops && target.kind != kinds::CLAIM.kind)
        .then(|| "a GitOps tool manages the target and may act while it is restored".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read() {
        let claim = serde_json::json!({"metadata": {"labels": {"argocd.argoproj.io/instance": "shop"},
            "ownerReferences": [{"kind": "X", "name": "y"}]}});
        let owners = of(&claim);
        assert_eq!(owners, ["X y", "Argo CD application shop"]);
        let target = |kind: &str| Reference {
            kind: kind.into(),
            ..Reference::default()
        };
        assert!(warning(&owners, &target("Deployment")).is_some());
        assert!(warning(&owners, &target("PersistentVolumeClaim")).is_none());
    }
}
