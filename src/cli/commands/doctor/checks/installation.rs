//! Checks of what `install` brings: the server that carries it, the definitions, the operator, the webhooks, the catalog, and
//! what the user may do with them.

use serde_json::Value;

use super::super::facts::{Facts, RIGHTS};
use super::super::image::tag;
use super::super::{Check, State};
use super::{Draft, INSTALL, containers, established, some, waits};
use crate::cli::report::text;
use crate::output::human;

/// The oldest Kubernetes whose API server checks rules in definitions (CEL) as ours need them.
const OLDEST: (u32, u32) = (1, 29);

pub(super) fn server(facts: &Facts) -> Check {
    let draft = Draft {
        name: "API server",
        why: "The rules in our definitions need a Kubernetes that evaluates them.",
    };
    match &facts.server {
        Err(error) => draft.unread(error),
        Ok((major, minor)) if (*major, *minor) < OLDEST => draft.failed(
            format!(
                "Kubernetes {major}.{minor} is older than {}.{}",
                OLDEST.0, OLDEST.1
            ),
            "upgrade the cluster",
        ),
        Ok((major, minor)) => draft.passed(format!("Kubernetes {major}.{minor}")),
    }
}

pub(super) fn definitions(facts: &Facts) -> Check {
    let draft = Draft {
        name: "definitions",
        why: "Without its definition the API server does not know a kind.",
    };
    let found = match &facts.definitions {
        Err(error) => return draft.unread(error),
        Ok(found) => found,
    };
    let served = |name: &str| {
        found
            .iter()
            .any(|d| text(d, "/metadata/name") == name && established(d))
    };
    let missing: Vec<&str> = facts
        .wanted_definitions
        .iter()
        .map(String::as_str)
        .filter(|n| !served(n))
        .collect();
    if missing.is_empty() {
        return draft.passed(format!("all {} are served", facts.wanted_definitions.len()));
    }
    draft.failed(
        format!(
            "{} of {} {} not served: {}",
            missing.len(),
            facts.wanted_definitions.len(),
            if missing.len() == 1 { "is" } else { "are" },
            some(&missing)
        ),
        format!("`{INSTALL}`"),
    )
}

pub(super) fn current(facts: &Facts) -> Check {
    let draft = Draft {
        name: "definitions are this program's",
        why: "Fields that the stored definitions do not know are dropped without a word.",
    };
    match &facts.differing {
        Err(error) => draft.unread(error),
        Ok(names) if names.is_empty() => draft.passed("nothing differs"),
        Ok(names) => draft.warning(
            format!(
                "{} differ: {}",
                names.len(),
                some(&names.iter().map(String::as_str).collect::<Vec<_>>())
            ),
            format!("`{INSTALL}` (of the newer version) brings them to one state"),
        ),
    }
}

pub(super) fn operator(facts: &Facts) -> Check {
    let draft = Draft {
        name: "operator",
        why: "Nothing happens to our objects without it.",
    };
    let found = match &facts.operators {
        Err(error) => return draft.unread(error),
        Ok(found) => found,
    };
    match found.as_slice() {
        [] => draft.failed("is not installed", format!("`{INSTALL}`")),
        [one] => {
            let namespace = text(one, "/metadata/namespace");
            let available = one.pointer("/status/availableReplicas").and_then(Value::as_i64);
            if available.unwrap_or(0) > 0 {
                return draft.passed(format!("is available in namespace {namespace}"));
            }
            if one.pointer("/spec/replicas").and_then(Value::as_i64) == Some(0) {
                return draft.failed(
                    format!("is scaled to 0 in namespace {namespace}"),
                    format!(
                        "`kubectl -n {namespace} scale deployment {} --replicas 1`",
                        text(one, "/metadata/name")
                    ),
                );
            }
            let trouble = facts
                .operator_pods
                .as_ref()
                .ok()
                .and_then(|p| p.iter().find_map(waits));
            draft.failed(
                format!(
                    "has no available pod in namespace {namespace}{}",
                    trouble.map(|t| format!(": {t}")).unwrap_or_default()
                ),
                format!("`kubectl -n {namespace} describe pods -l app.kubernetes.io/name=kubestash-operator` shows why"),
            )
        }
        several => {
            let places: Vec<&str> = several.iter().map(|d| text(d, "/metadata/namespace")).collect();
            draft.failed(
                format!("runs in {} namespaces: {}; two operators fight over the same objects", places.len(), some(&places)),
                "`kubectl -n NAMESPACE delete deployment kubestash-operator` for the one that should go (another vendor's is removed by its own uninstaller)",
            )
        }
    }
}

pub(super) fn skew(facts: &Facts) -> Check {
    let draft = Draft {
        name: "versions",
        why: "Jobs, operator and plugin are one program and are tested together.",
    };
    let Some(image) = facts
        .operators
        .as_ref()
        .ok()
        .and_then(|found| found.first())
        .map(|d| text(d, "/spec/template/spec/containers/0/image").to_owned())
    else {
        return draft.passed("no operator to compare with");
    };
    let own = env!("CARGO_PKG_VERSION");
    match tag(&image) {
        Some(tag) if tag.trim_start_matches('v') == own => {
            draft.passed(format!("plugin and operator are {own}"))
        }
        Some(tag) => draft.warning(
            format!("this plugin is {own}, the operator runs {tag}"),
            format!("`{INSTALL}` brings the operator to {own}; or use the plugin of version {tag}"),
        ),
        None => draft.warning(
            format!("the operator's image {image} has no version in its name"),
            format!("this plugin is {own}; make sure the image is of the same version"),
        ),
    }
}

pub(super) fn restarts(facts: &Facts) -> Check {
    let draft = Draft {
        name: "operator restarts",
        why: "An operator that crashes loses time and hides a cause.",
    };
    let pods = match &facts.operator_pods {
        Err(error) => return draft.unread(error),
        Ok(pods) => pods,
    };
    let worst = pods
        .iter()
        .flat_map(|pod| containers(pod).map(move |c| (pod, c)))
        .max_by_key(|(_, c)| c["restartCount"].as_i64().unwrap_or(0));
    let count = worst.map_or(0, |(_, c)| c["restartCount"].as_i64().unwrap_or(0));
    match worst {
        Some((pod, container)) if count > 2 => {
            let (namespace, name, container) = (
                text(pod, "/metadata/namespace"),
                text(pod, "/metadata/name"),
                text(container, "/name"),
            );
            draft.warning(
                format!("container {container} of pod {name} was restarted {count} times"),
                format!("`kubectl -n {namespace} logs {name} -c {container} --previous` shows the end of the last run"),
            )
        }
        _ => draft.passed(format!("{count} so far")),
    }
}

/// What the operator may do: what its manifests say, no less.
pub(super) fn operator_rights(facts: &Facts) -> Check {
    let draft = Draft {
        name: "operator's rights",
        why: "Without its roles the operator is refused by the API server.",
    };
    match &facts.lacking {
        Err(error) => draft.unread(error),
        Ok(lacking) if lacking.is_empty() => draft.passed("as its manifests give them"),
        Ok(lacking) => {
            let names: Vec<&str> = lacking.iter().map(String::as_str).collect();
            draft.failed(
                format!("missing or changed: {}", some(&names)),
                format!("`{INSTALL}`"),
            )
        }
    }
}

pub(super) fn webhooks(facts: &Facts) -> Check {
    let draft = Draft {
        name: "webhooks",
        why: "They refuse objects that cannot work and fill in defaults.",
    };
    match (&facts.webhooks, &facts.answers) {
        (Ok(found), _) if found.len() < 2 => {
            draft.failed("are not registered", format!("`{INSTALL}`"))
        }
        (_, Ok(true)) => draft.passed("answer"),
        (_, Ok(false)) if operator(facts).state == State::Failed => draft.failed(
            "do not answer: the operator does not run",
            "start the operator first, as above",
        ),
        (_, Ok(false)) => draft.failed(
            "do not answer: the API server cannot call the operator",
            "allow traffic from the API server to port 9443 of the operator's pods (a NetworkPolicy or firewall is the usual cause); \
             `kubectl -n kubestash get endpointslices` shows where it calls",
        ),
        (_, Err(error)) => draft.unread(error),
    }
}

pub(super) fn catalog(facts: &Facts) -> Check {
    let draft = Draft {
        name: "catalog",
        why: "Addons and Functions say how each kind of application is backed up.",
    };
    let (addons, functions) = match (&facts.addons, &facts.functions) {
        (Ok(addons), Ok(functions)) => (addons, functions),
        (Err(error), _) | (_, Err(error)) => return draft.unread(error),
    };
    let there = |kind: &str, name: &str| {
        let list = if kind == "Addon" { addons } else { functions };
        list.iter().any(|o| text(o, "/metadata/name") == name)
    };
    let missing: Vec<String> = facts
        .wanted_catalog
        .iter()
        .filter(|(kind, name)| !there(kind, name))
        .map(|(kind, name)| format!("{kind} {name}"))
        .collect();
    if missing.is_empty() {
        return draft.passed(format!(
            "{} and {}",
            human::counted(addons.len(), "Addon"),
            human::counted(functions.len(), "Function")
        ));
    }
    let names: Vec<&str> = missing.iter().map(String::as_str).collect();
    draft.failed(
        format!("{} missing: {}", missing.len(), some(&names)),
        format!("`{INSTALL}`"),
    )
}

pub(super) fn rights(facts: &Facts) -> Check {
    let draft = Draft {
        name: "your rights",
        why: "What you may not do, this plugin cannot do for you.",
    };
    if let Some(Err(error)) = facts.rights.iter().find(|r| r.is_err()) {
        return draft.unread(error);
    }
    let missing: Vec<&str> = RIGHTS
        .iter()
        .zip(&facts.rights)
        .filter(|(_, allowed)| matches!(allowed, Ok(false)))
        .map(|((what, ..), _)| *what)
        .collect();
    let namespace = &facts.namespace;
    if missing.is_empty() {
        return draft.passed(format!("you can back up and restore in namespace {namespace}"));
    }
    draft.warning(
        format!("in namespace {namespace} you cannot {}", missing.join(", ")),
        format!("ask an administrator for `kubectl -n {namespace} create rolebinding kubestash --clusterrole=kubestash-edit --user=YOU`"),
    )
}
