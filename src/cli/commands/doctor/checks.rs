//! The checks: pure, from what was read. Their order is that of dependence, so the first failure is often the cause of
//! the others.

use jiff::Timestamp;
use serde_json::Value;

use super::facts::{Facts, RIGHTS, Read};
use super::{Check, State};
use crate::cli::report::text;
use crate::cluster::Error;
use crate::output::human;

/// The oldest Kubernetes whose API server checks rules in definitions (CEL) as ours need them.
const OLDEST: (u32, u32) = (1, 29);
/// A session that runs longer than this without a deadline deserves a look.
const LONG_SECONDS: i64 = 24 * 3600;
/// Deleting an object takes no longer than this, or something holds it.
const DELETION_SECONDS: i64 = 600;

const INSTALL: &str = "kubectl kubestash install";

/// Makes every check.
pub(super) fn all(facts: &Facts, now: Timestamp) -> Vec<Check> {
    let mut checks = vec![server(facts), definitions(facts), current(facts)];
    checks.push(operator(facts));
    if facts.operators.as_ref().is_ok_and(|found| !found.is_empty()) {
        checks.extend([skew(facts), restarts(facts)]);
    }
    checks.extend([webhooks(facts), catalog(facts), rights(facts)]);
    checks.extend([
        not_ready(
            "storages",
            "BackupStorage",
            &facts.storages,
            "A BackupStorage that is not Ready takes no backups and gives none back.",
        ),
        not_ready(
            "configurations",
            "BackupConfiguration",
            &facts.configurations,
            "Sessions of a BackupConfiguration that is not Ready are skipped.",
        ),
        images(facts),
        long(facts, now),
        stuck(facts, now),
    ]);
    checks
}

/// A check that is being written.
struct Draft {
    name: &'static str,
    why: &'static str,
}

impl Draft {
    fn end(&self, state: State, finding: impl Into<String>, fixes: Vec<String>) -> Check {
        Check {
            name: self.name.to_owned(),
            state,
            finding: finding.into(),
            why: self.why.to_owned(),
            fixes,
        }
    }

    fn passed(&self, finding: impl Into<String>) -> Check {
        self.end(State::Passed, finding, Vec::new())
    }

    fn failed(&self, finding: impl Into<String>, fix: impl Into<String>) -> Check {
        self.end(State::Failed, finding, vec![fix.into()])
    }

    fn warning(&self, finding: impl Into<String>, fix: impl Into<String>) -> Check {
        self.end(State::Warning, finding, vec![fix.into()])
    }

    /// The end of a check whose facts could not be read.
    fn unread(&self, error: &Error) -> Check {
        match error {
            Error::Forbidden { message } => self.end(
                State::Warning,
                format!("could not be checked: {message}"),
                vec!["ask a cluster administrator to run `kubectl kubestash doctor`".to_owned()],
            ),
            Error::UnknownKind { .. } => self.warning(
                "could not be checked: the definitions are missing",
                format!("`{INSTALL}`"),
            ),
            other => self.end(
                State::Warning,
                format!("could not be checked: {other}"),
                Vec::new(),
            ),
        }
    }
}

fn server(facts: &Facts) -> Check {
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

fn definitions(facts: &Facts) -> Check {
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
            "{} of {} are not served: {}",
            missing.len(),
            facts.wanted_definitions.len(),
            some(&missing)
        ),
        format!("`{INSTALL}`"),
    )
}

fn current(facts: &Facts) -> Check {
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

fn operator(facts: &Facts) -> Check {
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

fn skew(facts: &Facts) -> Check {
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

/// The tag of an image, without its digest.
fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    let (before, tag) = name.rsplit_once(':')?;
    // A port of a registry is no tag.
    (!tag.contains('/') && !before.is_empty()).then_some(tag)
}

fn restarts(facts: &Facts) -> Check {
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

fn webhooks(facts: &Facts) -> Check {
    let draft = Draft {
        name: "webhooks",
        why: "They refuse objects that cannot work and fill in defaults.",
    };
    match (&facts.webhooks, &facts.answers) {
        (Ok(found), _) if found.len() < 2 => {
            draft.failed("are not registered", format!("`{INSTALL}`"))
        }
        (_, Ok(true)) => draft.passed("answer"),
        (_, Ok(false)) => draft.failed(
            "do not answer: the API server cannot call the operator",
            "allow traffic from the API server to port 9443 of the operator's pods (a NetworkPolicy or firewall is the usual cause); \
             `kubectl -n kubestash get endpointslices` shows where it calls",
        ),
        (_, Err(error)) => draft.unread(error),
    }
}

fn catalog(facts: &Facts) -> Check {
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

fn rights(facts: &Facts) -> Check {
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

fn not_ready(name: &'static str, kind: &str, found: &Read<Vec<Value>>, why: &'static str) -> Check {
    let draft = Draft { name, why };
    let found = match found {
        Err(error) => return draft.unread(error),
        Ok(found) => found,
    };
    let bad: Vec<&Value> = found
        .iter()
        .filter(|o| !matches!(text(o, "/status/phase"), "Ready"))
        .collect();
    if bad.is_empty() {
        return draft.passed(match found.len() {
            0 => format!("there is no {kind} yet"),
            count => format!("all {count} Ready"),
        });
    }
    let names: Vec<String> = bad.iter().map(|o| place(o)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fixes = bad.iter().take(3).map(|o| {
        format!(
            "`kubectl kubestash why {}/{} -n {}` follows the cause",
            kind.to_lowercase(),
            text(o, "/metadata/name"),
            text(o, "/metadata/namespace")
        )
    });
    draft.end(
        State::Failed,
        format!("{} of {} not Ready: {}", bad.len(), found.len(), some(&names)),
        fixes.collect(),
    )
}

fn images(facts: &Facts) -> Check {
    let draft = Draft {
        name: "images of Jobs",
        why: "A Job whose image cannot be pulled waits until its session fails.",
    };
    let pods = match &facts.job_pods {
        Err(error) => return draft.unread(error),
        Ok(pods) => pods,
    };
    let waiting = pods.iter().find_map(|pod| {
        let cause = containers(pod).find_map(|c| {
            let reason = text(c, "/state/waiting/reason");
            matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName")
                .then(|| format!("{} ({reason})", text(c, "/image")))
        });
        cause.map(|cause| (pod, cause))
    });
    match waiting {
        None => draft.passed("no pod waits for its image"),
        Some((pod, cause)) => draft.failed(
            format!("pod {} cannot get {cause}", place(pod)),
            "make the image available to the nodes, or `kubectl kubestash install --image IMAGE` with one that is; \
             for an Addon's own image, change its Function",
        ),
    }
}

fn long(facts: &Facts, now: Timestamp) -> Check {
    let draft = Draft {
        name: "sessions that run long",
        why: "Without a deadline a session that hangs holds up those after it.",
    };
    let (backups, restores) = match (&facts.sessions, &facts.restores) {
        (Ok(backups), Ok(restores)) => (backups, restores),
        (Err(error), _) | (_, Err(error)) => return draft.unread(error),
    };
    let old = backups.iter().chain(restores).find(|s| {
        matches!(text(s, "/status/phase"), "Running" | "Pending")
            && older(text(s, "/metadata/creationTimestamp"), LONG_SECONDS, now)
    });
    match old {
        None => draft.passed("none for more than a day"),
        Some(session) => draft.warning(
            format!("{} has run for more than a day", place(session)),
            format!(
                "`kubectl kubestash logs {}/{} -n {}`; spec.backupTimeout or spec.restoreTimeout bounds the next one",
                text(session, "/kind"),
                text(session, "/metadata/name"),
                text(session, "/metadata/namespace")
            ),
        ),
    }
}

fn stuck(facts: &Facts, now: Timestamp) -> Check {
    let draft = Draft {
        name: "deletions",
        why: "An object that is being deleted for long waits for somebody's finalizer.",
    };
    let lists = [
        &facts.storages,
        &facts.configurations,
        &facts.sessions,
        &facts.restores,
    ];
    let held = lists
        .iter()
        .filter_map(|l| l.as_ref().ok())
        .flatten()
        .find(|o| older(text(o, "/metadata/deletionTimestamp"), DELETION_SECONDS, now));
    match held {
        None => draft.passed("nothing hangs"),
        Some(object) => draft.failed(
            format!(
                "{} is being deleted since {}",
                place(object),
                text(object, "/metadata/deletionTimestamp")
            ),
            "its finalizer is the operator's: see that the operator runs, and read its log",
        ),
    }
}

fn older(time: &str, seconds: i64, now: Timestamp) -> bool {
    time.parse::<Timestamp>()
        .is_ok_and(|then| now.duration_since(then).as_secs() > seconds)
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|list| pod.pointer(list).and_then(Value::as_array))
        .flatten()
}

/// Why a pod does not run, if it says so.
fn waits(pod: &Value) -> Option<String> {
    containers(pod).find_map(|c| {
        let (reason, message) = (
            text(c, "/state/waiting/reason"),
            text(c, "/state/waiting/message"),
        );
        let known = !reason.is_empty() && !matches!(reason, "ContainerCreating" | "PodInitializing");
        known.then(|| {
            let image = text(c, "/image");
            format!("{reason} ({image}) {message}").trim_end().to_owned()
        })
    })
}

fn established(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Established" && c["status"] == "True")
}

/// `namespace/name`.
fn place(object: &Value) -> String {
    format!(
        "{}/{}",
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name")
    )
}

/// The first few names, and how many more there are.
fn some(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
