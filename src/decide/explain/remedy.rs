//! What to do about an error, by the words that movers, restic, storages and Kubernetes have for it. The sentences of
//! our own movers carry a way out themselves; what is added here is the command to paste.

use crate::api::shared::HookInfo;

/// Where it happened: names for the commands. What is not known is empty.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The namespace.
    pub namespace: String,
    /// The BackupConfiguration.
    pub configuration: String,
    /// The Repository.
    pub repository: String,
    /// The BackupStorage, as namespace and name.
    pub storage: (String, String),
    /// The storage's Secret, in the namespace of the storage.
    pub storage_secret: String,
    /// The encryption Secret, as namespace and name.
    pub encryption: (String, String),
    /// The HookTemplates that are run around it, as namespace and name.
    pub hooks: Vec<(String, String)>,
}

/// One kind of trouble: words that tell it, and what to do.
type Remedy = (&'static [&'static str], fn(&Place) -> Vec<String>);

/// What is known, most telling first: an error often quotes another one.
const REMEDIES: &[Remedy] = &[
    (
        &[
            "oomkilled",
            "out of memory",
            "cannot allocate memory",
            "memory limit was reached",
        ],
        |p| {
            vec![format!(
                "give it more memory: `kubectl edit {}`, field addon.jobTemplate.spec.resources",
                configuration(p)
            )]
        },
    ),
    (
        &[
            "wrong password",
            "no key found",
            "does not open with this restic_password",
            "lacks restic_password",
            "no key restic_password",
            "has no key \"restic_password\"",
        ],
        |p| {
            vec![format!(
                "put the password that the repository was created with into RESTIC_PASSWORD of Secret {}: `kubectl edit secret {}`",
                pair(&p.encryption),
                in_place(&p.encryption)
            )]
        },
    ),
    (
        &[
            "locked by",
            "repository is locked",
            "already locked",
            "unable to create lock",
        ],
        |p| {
            vec![format!(
                "wait until the other operation ends, or see who holds the lock: `kubectl kubestash repo unlock {} -n {}`",
                p.repository, p.namespace
            )]
        },
    ),
    (&["certificate", "x509", "tls"], |p| {
        vec![
            format!(
                "put the certificate of the storage's authority into CA_CERT_DATA of Secret {}: `kubectl edit secret {} -n {}`",
                p.storage_secret, p.storage_secret, p.storage.0
            ),
            storage(p),
        ]
    }),
    (
        &[
            "bucket does not exist",
            "correct the name in spec.storage",
            "nosuchbucket",
            "no such bucket",
            "containernotfound",
            "container does not exist",
        ],
        |p| vec![format!("create the bucket, or correct its name: {}", storage(p))],
    ),
    (
        &[
            "access is refused",
            "access denied",
            "accessdenied",
            "forbidden by the storage",
            "invalidaccesskeyid",
            "signaturedoesnotmatch",
            "authorizationfailure",
            "authenticationfailed",
            "status code 403",
            "status code: 403",
            "wrong key",
            "credentials",
        ],
        |p| {
            vec![format!(
                "check the keys and their rights in Secret {}: `kubectl edit secret {} -n {}`",
                p.storage_secret, p.storage_secret, p.storage.0
            )]
        },
    ),
    (
        &["no space", "disk quota exceeded", "storage full", "enospc"],
        |_| {
            vec![
                "free space or enlarge the volume or bucket; `kubectl get pvc -A` shows the claims"
                    .to_owned(),
            ]
        },
    ),
    (
        &[
            "is damaged",
            "hash mismatch",
            "ciphertext verification failed",
            "repository contains errors",
        ],
        |p| {
            vec![format!(
                "find out how much is damaged: `kubectl kubestash repo check {} -n {}`; restore from another Repository meanwhile",
                p.repository, p.namespace
            )]
        },
    ),
    (
        &["there is no restic repository", "repository does not exist"],
        |p| {
            vec![format!(
                "nothing is initialised over a history that should be there; compare bucket, prefix and directory: {}",
                storage(p)
            )]
        },
    ),
    (
        &[
            "path to back up does not exist",
            "to back up cannot be found",
            "source directories/files do not exist",
        ],
        |p| {
            vec![format!(
                "correct the task's paths: `kubectl edit {}`",
                configuration(p)
            )]
        },
    ),
    (&["has no task", "requires the parameter"], |p| {
        vec![format!(
            "correct addon.tasks: `kubectl edit {}`; `kubectl get addons.addons.kubestash.com -o yaml` shows the tasks and their parameters",
            configuration(p)
        )]
    }),
    (&["could not be read", "permission denied"], |p| {
        vec![format!(
            "let the Job run as the user that owns the files (addon.jobTemplate.spec.securityContext), or exclude them: `kubectl edit {}`",
            configuration(p)
        )]
    }),
    (
        &["deadline exceeded", "deadline passed", "timed out while"],
        |p| {
            vec![format!(
                "raise the session's backupTimeout: `kubectl edit {}`",
                configuration(p)
            )]
        },
    ),
    (
        &[
            "cannot be reached",
            "connection refused",
            "no such host",
            "i/o timeout",
            "network is unreachable",
            "connection reset",
            "timeout",
        ],
        |p| {
            vec![format!(
                "check the endpoint, the network policies and the proxy: {}",
                storage(p)
            )]
        },
    ),
    (
        &[
            "evicted",
            "was deleted",
            "was stopped",
            "terminated",
            "asked to stop",
            "its pod is gone",
        ],
        |p| {
            vec![format!(
                "something outside ended it; run it again: `kubectl kubestash backup retry {} -n {}`",
                if p.configuration.is_empty() {
                    "NAME".to_owned()
                } else {
                    format!("bc/{}", p.configuration)
                },
                p.namespace
            )]
        },
    ),
];

/// The HookTemplates that hooks name, as namespace and name, each once.
#[must_use]
pub fn templates<'h>(hooks: impl Iterator<Item = &'h HookInfo>, namespace: &str) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = hooks
        .filter_map(|hook| hook.hook_template.as_ref())
        .map(|t| (t.namespace_or(namespace).to_owned(), t.name.clone()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What to do about a hook that failed: what it says is about its own action, not about the storage or the backup.
#[must_use]
pub fn hook(place: &Place) -> Vec<String> {
    if place.hooks.is_empty() {
        return vec![format!(
            "correct the hook's action: `kubectl get hooktemplates.core.kubestash.com -n {}` lists them",
            place.namespace
        )];
    }
    let edit: Vec<String> = place
        .hooks
        .iter()
        .map(|named| format!("`kubectl edit hooktemplate {}`", in_place(named)))
        .collect();
    vec![format!("correct the hook's action: {}", edit.join(" or "))]
}

/// What to do about an error.
#[must_use]
pub fn fixes(error: &str, place: &Place) -> Vec<String> {
    if error.starts_with("hook \"") {
        return hook(place);
    }
    let text = error.to_lowercase();
    REMEDIES
        .iter()
        .find(|(words, _)| words.iter().any(|word| text.contains(word)))
        .map(|(_, fixes)| fixes(place))
        .unwrap_or_default()
}

fn configuration(place: &Place) -> String {
    if place.configuration.is_empty() {
        format!("restoresession NAME -n {}", place.namespace)
    } else {
        format!("bc {} -n {}", place.configuration, place.namespace)
    }
}

fn storage(place: &Place) -> String {
    format!(
        "`kubectl edit backupstorage {} -n {}`",
        place.storage.1, place.storage.0
    )
}

fn pair((namespace, name): &(String, String)) -> String {
    format!("{namespace}/{name}")
}

fn in_place((namespace, name): &(String, String)) -> String {
    format!("{name} -n {namespace}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        let pair = |name: &str| ("demo".to_owned(), name.to_owned());
        Place {
            namespace: "demo".to_owned(),
            configuration: "sample".to_owned(),
            repository: "repo".to_owned(),
            storage: pair("s3"),
            storage_secret: "keys".to_owned(),
            encryption: pair("password"),
            hooks: vec![pair("stop-writes")],
        }
    }

    #[test]
    fn each_trouble_has_its_command() {
        let cases = [
            (
                "the repository does not open with this RESTIC_PASSWORD; put …",
                "kubectl edit secret password -n demo",
            ),
            (
                "Fatal: wrong password or no key found",
                "RESTIC_PASSWORD of Secret demo/password",
            ),
            (
                "the repository is locked by pod x",
                "kubectl kubestash repo unlock repo -n demo",
            ),
            (
                "x509: certificate signed by unknown authority",
                "CA_CERT_DATA of Secret keys",
            ),
            ("the bucket does not exist", "create the bucket"),
            ("access is refused", "kubectl edit secret keys -n demo"),
            ("no space left on device", "enlarge the volume"),
            (
                "dial tcp: connection refused",
                "kubectl edit backupstorage s3 -n demo",
            ),
            (
                "container \"x\" exited with 137. Reason: OOMKilled",
                "more memory",
            ),
            (
                "the path /x to back up cannot be found in the container",
                "correct the task's paths: `kubectl edit bc sample -n demo`",
            ),
            (
                "Addon \"pvc-addon\" has no task \"x\"; it has: y",
                "correct addon.tasks: `kubectl edit bc sample -n demo`",
            ),
            (
                "restic backup was stopped (killed by a signal, perhaps because its memory limit was reached); run it again",
                "more memory",
            ),
            (
                "hook \"h\": container \"hook-0\" exited with 1. Reason: Error (Unreachable): GET http://x failed: Connection refused",
                "kubectl edit hooktemplate stop-writes -n demo",
            ),
            ("2 source files could not be read: /a", "securityContext"),
            ("deadline exceeded: the backup did not end", "backupTimeout"),
            (
                "data in the repository is damaged",
                "kubectl kubestash repo check repo",
            ),
            (
                "there is no restic repository at this place",
                "nothing is initialised over a history",
            ),
            (
                "its Job is gone: it was deleted",
                "kubectl kubestash backup retry bc/sample -n demo",
            ),
        ];
        for (error, wanted) in cases {
            let fixes = fixes(error, &place());
            assert!(fixes.iter().any(|f| f.contains(wanted)), "{error}: {fixes:?}");
        }
        assert!(
            fixes("something else", &place()).is_empty(),
            "what is not known is not guessed"
        );
    }

    #[test]
    fn the_page_of_errors_has_each_trouble_and_no_other() {
        let page = include_str!("../../../docs/errors.md");
        let page = page
            .split("## What pods, restic and storages say")
            .nth(1)
            .unwrap_or_default();
        let page = page.split("\n## ").next().unwrap_or_default().to_lowercase();
        let headings: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("### ")).collect();
        for heading in &headings {
            assert!(
                !fixes(heading, &place()).is_empty(),
                "nothing is known about {heading:?}"
            );
        }
        for (words, _) in REMEDIES {
            let told = headings.iter().any(|h| words.iter().any(|w| h.contains(w)));
            assert!(told, "docs/errors.md says nothing about {words:?}");
        }
    }

    #[test]
    fn an_error_that_quotes_another_is_taken_for_what_it_is() {
        let text = "the certificate of the storage is not trusted (connection refused by policy)";
        assert!(fixes(text, &place())[0].contains("CA_CERT_DATA"));
    }
}
